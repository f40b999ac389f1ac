import type { Audience } from '../model/follower.js';
import type { Defect } from '../model/stage.js';
import type { RealSetting } from './operation.js';

/** The world as its processes see it. */
export interface Surroundings extends Audience {
  readonly setting: RealSetting;
  readonly defect: Defect;
  readonly etcd: { readonly endpoint: string };
  /** For people. */
  note(text: string): void;
  /** Somebody listens at the address from now on, or nobody does. */
  listens(address: string, accepts: boolean): void;
  accepts(address: string): boolean;
}
