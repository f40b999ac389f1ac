/** So many are remembered; what is older counts as a repetition. */
const REMEMBERED = 1_000;

/** The revisions of which a watch has handed on everything: tells what is new from what comes again and what comes late. */
export class DeliveredRevisions {
  private readonly recent = new Set<number>();

  /** @param floor everything up to it was known before the watch began */
  constructor(
    private floor: number,
    private last = floor,
  ) {}

  /**
   * `new`: after everything so far. `repeated`: handed on already; etcd 3.4 sends events twice, and streams that went
   * back in time (etcd #15274, #20221, #15271). `late`: never seen, though newer ones were.
   */
  judge(revision: number): 'new' | 'repeated' | 'late' {
    if (revision > this.last) return 'new';
    return revision <= this.floor || this.recent.has(revision) ? 'repeated' : 'late';
  }

  /** Everything of this revision, which is new, is handed on. */
  add(revision: number): void {
    this.last = revision;
    this.recent.add(revision);
    if (this.recent.size <= REMEMBERED) return;
    const [oldest] = this.recent;
    this.recent.delete(oldest!);
    this.floor = oldest!;
  }
}
