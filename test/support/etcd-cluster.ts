import { eventually } from './child-process.js';
import { EtcdServer } from './etcd-server.js';
import { PeerProxy } from './peer-proxy.js';

export interface EtcdClusterOptions {
  /** Further flags of every member, for example `['--quota-backend-bytes', '16777216']`. */
  readonly args?: readonly string[];
  /** Default: 3. */
  readonly size?: number;
  /** Proxies between the members, so that `isolate()` works. Default: none. */
  readonly isolable?: boolean;
}

interface MemberStatus {
  readonly header: { readonly member_id: string };
  readonly leader?: string;
  readonly raftTerm?: string;
}

interface MemberList {
  readonly members: readonly { readonly ID: string; readonly name?: string; readonly peerURLs: readonly string[] }[];
}

/**
 * A real etcd of several members, each in a process of its own, with etcd's default election timeout of 1 s. A member
 * is killed, paused, resumed and restarted by its own methods; what concerns the others too is here.
 */
export class EtcdCluster {
  private readonly proxies = new Map<EtcdServer, PeerProxy>();
  private named = 0;

  private constructor(
    /** Changes when a member is replaced. */
    readonly members: EtcdServer[],
    private readonly options: EtcdClusterOptions,
  ) {}

  static async start(options: EtcdClusterOptions = {}): Promise<EtcdCluster> {
    const cluster = new EtcdCluster([], options);
    try {
      for (let i = 0; i < (options.size ?? 3); i++) cluster.members.push(await cluster.prepare());
      for (const member of cluster.members) member.joins(cluster.flagsOf(member, 'new'));
      await Promise.all(cluster.members.map((member) => member.up()));
      await cluster.leader();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** `127.0.0.1:port` of every member. */
  get endpoints(): string[] {
    return this.members.map(({ endpoint }) => endpoint);
  }

  /** The member that leads now, as it says itself; waits while there is none. */
  leader(): Promise<EtcdServer> {
    return eventually('etcd has a leader', async () => {
      const claims = await Promise.all(
        this.members.map(async (member) => {
          const { header, leader, raftTerm } = await this.status(member).catch(() => ({}) as Partial<MemberStatus>);
          return leader !== undefined && leader === header?.member_id ? { member, term: Number(raftTerm) } : undefined;
        }),
      );
      // A leader that was cut off believes in itself for a while; the younger term is the true one.
      return claims.filter((claim) => claim !== undefined).toSorted((a, b) => b.term - a.term)[0]?.member;
    });
  }

  async followers(): Promise<EtcdServer[]> {
    const leader = await this.leader();
    return this.members.filter((member) => member !== leader);
  }

  /** Makes `member` the leader. */
  async lead(member: EtcdServer): Promise<void> {
    const leader = await this.leader();
    if (leader === member) return;
    await leader.etcdctl('move-leader', BigInt((await this.status(member)).header.member_id).toString(16));
    await eventually('the leader has moved', async () => (await this.leader()) === member);
  }

  /** Cuts `member` off from the others, both ways, in silence; clients reach it as before. */
  async isolate(member: EtcdServer): Promise<void> {
    if (this.proxies.size === 0) throw new Error('isolate() needs EtcdCluster.start({ isolable: true })');
    const id = BigInt((await this.status(member)).header.member_id).toString(16);
    for (const [owner, proxy] of this.proxies) proxy.block(owner === member ? 'all' : [id]);
  }

  /** Ends every isolation. */
  rejoin(): void {
    for (const proxy of this.proxies.values()) proxy.pass();
  }

  /**
   * `member` loses its disk and comes back at the same address, the way etcd wants it: removed, added as a new member,
   * started with empty data.
   */
  async wipeAndRejoin(member: EtcdServer): Promise<void> {
    await member.kill();
    await this.remove(member);
    await member.wipe();
    await this.add(member);
  }

  /** Removes `member` and adds another one at another address, which is returned. */
  async replace(member: EtcdServer): Promise<EtcdServer> {
    await this.remove(member);
    this.members.splice(this.members.indexOf(member), 1);
    await member.stop();
    await this.proxies.get(member)?.stop();
    this.proxies.delete(member);
    const successor = await this.prepare();
    this.members.push(successor);
    await this.add(successor);
    return successor;
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
    await Promise.all([...this.proxies.values()].map((proxy) => proxy.stop()));
  }

  private async prepare(): Promise<EtcdServer> {
    const member = await EtcdServer.prepare({ name: `m${this.named++}`, args: this.options.args });
    if (this.options.isolable) {
      this.proxies.set(member, await PeerProxy.start(Number(member.peerUrl.split(':').at(-1))));
    }
    return member;
  }

  private advertisedPeer(member: EtcdServer): string {
    return this.proxies.get(member)?.url ?? member.peerUrl;
  }

  private flagsOf(member: EtcdServer, state: 'new' | 'existing') {
    const initialCluster = this.members.map((each) => `${each.name}=${this.advertisedPeer(each)}`).join(',');
    return { initialCluster, state, advertisedPeer: this.advertisedPeer(member) } as const;
  }

  /** What a member of the others says of the membership, and does to it. */
  private async elsewhere(member: EtcdServer, method: string, body: object = {}): Promise<unknown> {
    const others = this.members.filter((each) => each !== member && each.pid !== undefined);
    // etcd refuses changes of its membership until every member has been connected for some seconds.
    return eventually(
      `etcd takes ${method}`,
      () => others[0]!.call(method, body).catch((error: Error) => ((this.refused = error.message), undefined)),
      20_000,
      () => this.refused,
    );
  }

  private refused = '';

  private async remove(member: EtcdServer): Promise<void> {
    const { members } = (await this.elsewhere(member, 'cluster/member/list')) as MemberList;
    const found = members.find(({ name }) => name === member.name);
    if (found) await this.elsewhere(member, 'cluster/member/remove', { ID: found.ID });
  }

  private async add(member: EtcdServer): Promise<void> {
    await this.elsewhere(member, 'cluster/member/add', { peerURLs: [this.advertisedPeer(member)] });
    member.joins(this.flagsOf(member, 'existing'));
    await member.up();
  }

  private async status(member: EtcdServer): Promise<MemberStatus> {
    return (await member.call('maintenance/status', {}, 1_000)) as MemberStatus;
  }
}
