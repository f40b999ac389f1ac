export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

export const figureHolds = ({ value, atMost, atLeast }: Figure): boolean =>
  !Number.isNaN(value) && (atMost === undefined || value <= atMost) && (atLeast === undefined || value >= atLeast);

const rounded = (value: number): string => String(Number.isInteger(value) ? value : Number(value.toPrecision(3)));

/** `name value unit`, with the bound, and a mark when it is missed. */
export const figureText = (figure: Figure): string => {
  const { name, value, unit, atMost, atLeast } = figure;
  const bounds = [
    ...(atMost === undefined ? [] : [`≤ ${rounded(atMost)}`]),
    ...(atLeast === undefined ? [] : [`≥ ${rounded(atLeast)}`]),
  ];
  const bound = bounds.length > 0 ? ` (${bounds.join(', ')})` : '';
  return `${name} ${rounded(value)}${unit ? ` ${unit}` : ''}${bound}${figureHolds(figure) ? '' : ' MISSED'}`;
};
