/**
 * Milliseconds of the machine's monotonic clock, which all processes of one machine share (CLOCK_MONOTONIC on Linux;
 * `performance.now()` counts from the start of each process).
 */
export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;
