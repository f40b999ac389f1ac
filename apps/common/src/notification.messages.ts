/** The messages of `notification.v1` as proto-loader hands them over (camel case, enums as names, longs as strings). */
export const CHANNELS = ['CHANNEL_EMAIL', 'CHANNEL_SMS', 'CHANNEL_PUSH'] as const;
export type Channel = (typeof CHANNELS)[number];

export interface Timestamp {
  readonly seconds: string;
  readonly nanos: number;
}

export interface NotificationMessage {
  readonly id: string;
  readonly recipient: string;
  readonly channel: Channel;
  readonly subject: string;
  readonly body: string;
  readonly createTime: Timestamp;
}

/** A request may lack anything: nothing in it is trusted before validation. */
export type NotificationInput = Partial<Record<keyof NotificationMessage, unknown>>;

export interface SendRequest {
  readonly notification?: NotificationInput | null;
}

export interface ListRequest {
  readonly pageSize?: number;
  readonly pageToken?: string;
  readonly recipient?: string;
}

export interface Rejection {
  readonly index: number;
  readonly id: string;
  readonly code: number;
  readonly message: string;
}

export interface SendSummary {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly rejections: readonly Rejection[];
}

/** Options of proto-loader that give the shapes above; server and client use the same. */
export const loaderOptions = { keepCase: false, longs: String, enums: String, defaults: true, oneofs: true } as const;

export interface SendResponse {
  readonly notification: NotificationMessage;
  readonly servedBy: string;
}

export interface ListResponse {
  readonly notifications?: readonly NotificationMessage[];
  readonly nextPageToken: string;
  readonly servedBy: string;
}
