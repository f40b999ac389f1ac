/**
 * The token bucket of gRFC A6 for repeats that grpc-js does not make: a failure takes a token, a success gives a tenth of
 * one back, and while the bucket is less than half full nothing is repeated.
 */
export class RetryBudget {
  private tokens: number;

  constructor(private readonly maxTokens: number) {
    this.tokens = maxTokens;
  }

  onSuccess(): void {
    this.tokens = Math.min(this.maxTokens, this.tokens + 0.1);
  }

  /** Counts a failure and says whether the call may be repeated. */
  onFailure(): boolean {
    this.tokens = Math.max(0, this.tokens - 1);
    return this.tokens > this.maxTokens / 2;
  }
}
