import { Metadata, experimental, status } from '@grpc/grpc-js';
import type { Picker, PickRequest } from '../../balancing/picker.interface.js';
import { BalancedChild } from './balanced-child.js';

/** Reads the call's metadata for a picker. One per grpc picker, moved from call to call: a pick makes no garbage. */
class MetadataRequest implements PickRequest {
  metadata!: Metadata;

  header(name: string): string | undefined {
    const value = this.metadata.get(name)[0];
    return typeof value === 'string' ? value : value?.toString('base64');
  }
}

const QUEUE: experimental.PickResult = {
  // The numeric values of the enum: it is absent from grpc-js versions that load this file but cannot use it.
  pickResultType: 1,
  subchannel: null,
  status: null,
  onCallStarted: null,
  onCallEnded: null,
};

/** What the channel asks for each call while at least one instance is ready. */
export class DiscoveryPicker implements experimental.Picker {
  private readonly request = new MetadataRequest();

  /** @param onPickerError is told when the picker, which may be the user's, throws or names nobody */
  constructor(
    private readonly picker: Picker,
    private readonly ready: readonly BalancedChild[],
    private readonly onPickerError: (error: unknown) => void,
  ) {}

  pick(args: experimental.PickArgs): experimental.PickResult {
    return this.choose(args)?.pick(args) ?? this.pickAny(args);
  }

  private choose(args: experimental.PickArgs): BalancedChild | undefined {
    this.request.metadata = args.metadata;
    try {
      const chosen = this.picker.pick(this.request);
      if (chosen instanceof BalancedChild) return chosen;
      this.onPickerError(new TypeError('it picked none of the candidates it was given'));
    } catch (error) {
      this.onPickerError(error);
    }
    return undefined;
  }

  /** Where the chosen connection ended just now and the new picker is on its way, any other will do. */
  private pickAny(args: experimental.PickArgs): experimental.PickResult {
    const { ready } = this;
    const start = Math.floor(Math.random() * ready.length);
    for (let i = 0; i < ready.length; i++) {
      const result = ready[(start + i) % ready.length]!.pick(args);
      if (result) return result;
    }
    return QUEUE;
  }
}

/**
 * What the channel asks while there is nothing to call. A call that waits for ready is queued. Any other ends at once:
 * as a drop, because a transient failure would be retried against the same emptiness, three backoffs long, and would use
 * up the tokens that retries need when the instances are back.
 */
export class NothingToCallPicker implements experimental.Picker {
  constructor(private readonly details: string) {}

  pick({ metadata }: experimental.PickArgs): experimental.PickResult {
    return {
      pickResultType: metadata.getOptions().waitForReady
        ? experimental.PickResultType.TRANSIENT_FAILURE
        : experimental.PickResultType.DROP,
      subchannel: null,
      status: { code: status.UNAVAILABLE, details: this.details, metadata: new Metadata() },
      onCallStarted: null,
      onCallEnded: null,
    };
  }
}
