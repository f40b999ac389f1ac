/** A set that forgets its oldest members beyond `limit`. */
export class RecentSet<T> {
  private readonly members = new Set<T>();

  constructor(private readonly limit: number) {}

  has(member: T): boolean {
    return this.members.has(member);
  }

  add(member: T): void {
    this.members.add(member);
    for (const oldest of this.members) {
      if (this.members.size <= this.limit) break;
      this.members.delete(oldest);
    }
  }
}
