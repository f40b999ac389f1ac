/** A value as it lies in etcd, and where. */
export interface StoredValue {
  readonly service: string;
  /** The id of the key; the whole key for the plain key of a service, which no other id can equal as it has a `/`. */
  readonly id: string;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
}
