import { TestProcess } from '../../test/support/child-process.js';

/** A child program that answers questions of its parent, one at a time. */
export class Respondent {
  private asked = 0;

  private constructor(private readonly program: TestProcess) {}

  /** `node <nodeFlags> <file> …args`. */
  static start(
    file: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    nodeFlags: readonly string[] = [],
  ): Respondent {
    return new Respondent(
      TestProcess.command(process.execPath, ['--enable-source-maps', ...nodeFlags, file, ...args], env, true),
    );
  }

  /** The answer to one question; fails when the program ends or takes longer. */
  async ask<T>(question: string, details: object = {}, timeoutMs = 120_000): Promise<T> {
    const event = `${question}-${++this.asked}`;
    this.program.child.send({ question, event, details });
    const { answer } = await this.program.message<{ answer: T }>(event, timeoutMs);
    return answer;
  }

  /** Kills the program; what it holds goes with it. */
  end(): Promise<void> {
    return this.program.dispose();
  }
}

/** In the child: answers every question by the function of its name. A question that fails ends the program. */
export const answerQuestions = (answers: Readonly<Record<string, (details: never) => unknown>>): void => {
  process.on('message', ({ question, event, details }: { question: string; event: string; details: never }) => {
    const answer = answers[question];
    if (!answer) throw new Error(`no answer to ${question}`);
    void Promise.resolve(answer(details)).then((given) => process.send?.({ event, answer: given }));
  });
};
