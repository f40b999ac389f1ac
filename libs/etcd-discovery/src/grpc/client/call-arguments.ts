import { type CallOptions, Metadata } from '@grpc/grpc-js';

/** Looks like metadata, whichever copy of grpc-js made it. */
export const isMetadata = (value: unknown): value is Metadata =>
  typeof value === 'object' && value !== null && 'getMap' in value && 'getOptions' in value;

/** What Nest's generated methods are called with, apart: the request (or stream of requests), metadata, call options. */
export interface CallArguments {
  readonly request: unknown;
  readonly metadata: Metadata | undefined;
  readonly options: CallOptions | undefined;
}

/** `(request, metadata?, options?)`, where metadata may be left out. */
export const readArguments = ([request, ...rest]: readonly unknown[]): CallArguments => ({
  request,
  metadata: rest.find(isMetadata),
  options: rest.find((value) => typeof value === 'object' && value !== null && !isMetadata(value)) as
    CallOptions | undefined,
});

/** The metadata of a call that waits for ready unless the caller said otherwise; the caller's own object stays as it is. */
export const withWaitForReady = (metadata: Metadata | undefined, waitForReady: boolean): Metadata => {
  if (!metadata) return new Metadata({ waitForReady });
  const options = metadata.getOptions();
  if (!waitForReady || options.waitForReady !== undefined) return metadata;
  const copy = metadata.clone();
  copy.setOptions({ ...options, waitForReady: true });
  return copy;
};
