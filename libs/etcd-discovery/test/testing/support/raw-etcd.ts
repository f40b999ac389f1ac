import { once } from 'node:events';
import { Client, type ClientDuplexStream, credentials, type MethodDefinition, type ServiceError } from '@grpc/grpc-js';
import { type EtcdService, etcdService } from '../../../src/testing/embedded/etcd.proto.js';

/** A message as it comes off the wire: snake_case fields, int64 as decimal strings, bytes as Buffers. */
export type Message = { [field: string]: unknown };

/** What a call ended with: its answer, or the status it was refused with. */
export type Outcome = { readonly answer: Message } | { readonly code: number; readonly details: string };

export interface WatchCall {
  /** Everything that has arrived so far, in order. */
  readonly responses: readonly Message[];
  write(request: Message): void;
  /** Ends the client's side only. */
  end(): void;
  cancel(): void;
}

/** etcd's gRPC API and nothing in between: no retries, no pool, no defaults. */
export class RawEtcd {
  private readonly client: Client;
  private keepAlives: ClientDuplexStream<Message, Message> | undefined;

  constructor(readonly endpoint: string) {
    // A connection of its own for each client, and answers of any size, as a Go client takes them.
    this.client = new Client(endpoint, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': -1,
    });
  }

  call(service: EtcdService, method: string, request: Message = {}, timeoutMs = 20_000): Promise<Outcome> {
    const { path, requestSerialize, responseDeserialize } = this.method(service, method);
    return new Promise((resolve) => {
      this.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        { deadline: Date.now() + timeoutMs },
        (error: ServiceError | null, answer?: Message) =>
          resolve(error ? { code: error.code, details: error.details } : { answer: answer! }),
      );
    });
  }

  /** The answer; a refusal is thrown. */
  async ok(service: EtcdService, method: string, request: Message = {}): Promise<Message> {
    const outcome = await this.call(service, method, request);
    if ('answer' in outcome) return outcome.answer;
    throw Object.assign(new Error(`${service}.${method}: ${outcome.details}`), { code: outcome.code });
  }

  /** One keepalive on a stream that stays open for the next. */
  async keepAlive(id: string): Promise<Outcome> {
    this.keepAlives ??= this.stream('Lease', 'LeaseKeepAlive').on('error', () => {});
    const stream = this.keepAlives;
    stream.write({ ID: id });
    const [answer] = (await once(stream, 'data', { signal: AbortSignal.timeout(20_000) })) as [Message];
    return { answer };
  }

  watch(): WatchCall {
    const responses: Message[] = [];
    const stream = this.stream('Watch', 'Watch');
    stream.on('data', (response: Message) => responses.push(response));
    stream.on('error', (error: ServiceError) => responses.push({ code: error.code, details: error.details }));
    return {
      responses,
      write: (request) => void stream.write(request),
      end: () => void stream.end(),
      cancel: () => stream.cancel(),
    };
  }

  /** The outcome of a method that answers with a stream: its first message, or the refusal. */
  first(service: EtcdService, method: string, request: Message = {}): Promise<Outcome> {
    const { path, requestSerialize, responseDeserialize } = this.method(service, method);
    const stream = this.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
    return new Promise((resolve) => {
      stream.on('data', (answer: Message) => {
        stream.cancel();
        resolve({ answer });
      });
      stream.on('error', (error: ServiceError) => resolve({ code: error.code, details: error.details }));
    });
  }

  close(): void {
    this.keepAlives?.cancel();
    this.client.close();
  }

  private stream(service: EtcdService, method: string): ClientDuplexStream<Message, Message> {
    const { path, requestSerialize, responseDeserialize } = this.method(service, method);
    return this.client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  }

  private method(service: EtcdService, method: string): MethodDefinition<Message, Message> {
    return etcdService(service)[method] as MethodDefinition<Message, Message>;
  }
}
