import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import {
  Client,
  type ClientDuplexStream,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  credentials,
  type ServiceDefinition,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const SERVICES = ['KV', 'Lease', 'Watch', 'Auth', 'Maintenance', 'Cluster'] as const;

/** `Service/Method` of etcd's API, for example `KV/Range`. */
export type RelayMethod = `${(typeof SERVICES)[number]}/${string}`;

export type Direction = 'request' | 'response';

/** What an interceptor knows of the call a message belongs to. */
export interface RelayCall {
  /** Differs from call to call. */
  readonly id: number;
  readonly method: RelayMethod;
}

/**
 * Gets a message as etcd's proto files name its fields (int64 as decimal strings, bytes as buffers, absent what has its
 * default) and says what is passed on instead: the same, another, several, or none. What comes behind it waits for the
 * answer.
 */
export type Interceptor<M extends object = Record<string, unknown>> = (
  message: M,
  call: RelayCall,
) => readonly M[] | Promise<readonly M[]>;

type Bytes = Buffer;
type Method = MethodDefinition<object, object>;

const asIs = (bytes: Bytes): Bytes => bytes;
const UNLIMITED = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 };

const loadServices = () =>
  loadSync('rpc.proto', {
    includeDirs: [join(dirname(createRequire(import.meta.url).resolve('etcd3/package.json')), 'proto')],
    keepCase: true,
    longs: String,
    arrays: true,
    // What is absent stays so: to etcd an empty `range_end` that is there means "and everything behind it".
    defaults: false,
  });

/**
 * A gRPC server in front of a real etcd. It passes every call on byte by byte, streams, metadata and status included,
 * and lets a test read, change, repeat, withhold or delay the messages of a method: for what a real etcd does only when
 * it is broken.
 */
export class EtcdRelay {
  /** Calls begun so far, by method. */
  readonly calls = new Map<RelayMethod, number>();
  private readonly interceptors = new Map<string, Interceptor>();
  private readonly upstream: Client;
  private readonly server = new Server(UNLIMITED);
  private boundPort = 0;
  private nextId = 1;

  private constructor(target: string) {
    this.upstream = new Client(target, credentials.createInsecure(), {
      ...UNLIMITED,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_http_proxy': 0,
    });
  }

  /** @param target `host:port` of the etcd behind it */
  static async start(target: string): Promise<EtcdRelay> {
    const relay = new EtcdRelay(target);
    const definitions = loadServices();
    for (const name of SERVICES) {
      const service = definitions[`etcdserverpb.${name}`] as ServiceDefinition | undefined;
      if (service) relay.serve(name, service);
    }
    relay.boundPort = await new Promise((resolve, reject) =>
      relay.server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      ),
    );
    return relay;
  }

  /** `host:port` that clients use. */
  get endpoint(): string {
    return `127.0.0.1:${this.boundPort}`;
  }

  /** Calls of a method begun so far. */
  count(method: RelayMethod): number {
    return this.calls.get(method) ?? 0;
  }

  /**
   * From now on every message of this method passes through `interceptor`, those of calls under way included; the one
   * before it is replaced. The returned function takes it away.
   */
  intercept<M extends object = Record<string, unknown>>(
    method: RelayMethod,
    direction: Direction,
    interceptor: Interceptor<M>,
  ): () => void {
    const key = `${method} ${direction}`;
    const entry = interceptor as unknown as Interceptor;
    this.interceptors.set(key, entry);
    return () => {
      if (this.interceptors.get(key) === entry) this.interceptors.delete(key);
    };
  }

  /** Ends every call and releases every socket. */
  async stop(): Promise<void> {
    this.server.forceShutdown();
    this.upstream.close();
    await Promise.resolve();
  }

  private serve(service: string, definition: ServiceDefinition): void {
    const raw: Record<string, MethodDefinition<Bytes, Bytes>> = {};
    const handlers: Record<string, (call: ServerDuplexStream<Bytes, Bytes>) => void> = {};
    for (const [name, method] of Object.entries(definition)) {
      // On the wire a unary call is a stream of one message, so one kind of handler serves them all.
      raw[name] = {
        path: method.path,
        originalName: name,
        requestStream: true,
        responseStream: true,
        requestSerialize: asIs,
        requestDeserialize: asIs,
        responseSerialize: asIs,
        responseDeserialize: asIs,
      };
      handlers[name] = (call) => this.carry(call, `${service}/${name}` as RelayMethod, method as Method);
    }
    this.server.addService(raw, handlers);
  }

  private carry(client: ServerDuplexStream<Bytes, Bytes>, method: RelayMethod, definition: Method): void {
    this.calls.set(method, this.count(method) + 1);
    const call: RelayCall = { id: this.nextId++, method };
    const etcd: ClientDuplexStream<Bytes, Bytes> = this.upstream.makeBidiStreamRequest(
      definition.path,
      asIs,
      asIs,
      client.metadata,
    );
    let over = false;
    const requests = this.ordered(call, 'request', definition, (bytes) => void (over || etcd.write(bytes)));
    const responses = this.ordered(call, 'response', definition, (bytes) => void (over || client.write(bytes)));
    const fail = (error: Error) => {
      over = true;
      client.emit('error', { code: status.INTERNAL, details: `the relay failed: ${error.message}` });
      etcd.cancel();
    };

    client.on('data', (bytes: Bytes) => requests.pass(bytes).catch(fail));
    client.on('end', () => requests.afterwards(() => etcd.end()));
    client.on('cancelled', () => {
      over = true;
      etcd.cancel();
    });
    client.on('error', () => {});
    etcd.on('metadata', (metadata) => client.sendMetadata(metadata));
    etcd.on('data', (bytes: Bytes) => responses.pass(bytes).catch(fail));
    etcd.on('error', () => {});
    etcd.on('status', ({ code, details, metadata }) =>
      responses.afterwards(() => {
        if (over) return;
        over = true;
        if (code === status.OK) client.end(metadata);
        else client.emit('error', { code, details, metadata });
      }),
    );
  }

  /** Passes messages on one after the other, though an interceptor may take its time. */
  private ordered(call: RelayCall, direction: Direction, method: Method, write: (bytes: Bytes) => void) {
    let last: Promise<void> = Promise.resolve();
    const [decode, encode] =
      direction === 'request'
        ? [method.requestDeserialize, method.requestSerialize]
        : [method.responseDeserialize, method.responseSerialize];
    const passOn = async (bytes: Bytes) => {
      const interceptor = this.interceptors.get(`${call.method} ${direction}`);
      if (!interceptor) return write(bytes);
      const messages = await interceptor(decode(bytes) as Record<string, unknown>, call);
      for (const message of messages) write(encode(message));
    };
    return {
      pass: (bytes: Bytes): Promise<void> => (last = last.then(() => passOn(bytes))),
      afterwards: (work: () => void) => void last.then(work, () => undefined),
    };
  }
}
