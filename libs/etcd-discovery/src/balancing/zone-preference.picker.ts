import type { PickCandidate, Picker, PickRequest, PolicyConfig } from './picker.interface.js';

/** Part of the zone's instances that must be ready for the zone to be used alone; Envoy's panic threshold is the same. */
const DEFAULT_MIN_READY_SHARE = 0.5;

/**
 * Keeps calls inside one zone while enough of it is ready, and uses all zones otherwise. Wraps any picker; each side has
 * a picker of its own, so that going to the other zones and back loses no state.
 *
 * Config: `zone`, and `zoneMinReadyShare` (0–1, default 0.5).
 */
export class ZonePreferencePicker implements Picker {
  private readonly minReadyShare: number;
  private local?: Picker;
  private global?: Picker;
  private active!: Picker;

  constructor(
    private readonly zone: string,
    private readonly create: () => Picker,
    config: PolicyConfig,
  ) {
    const share = config['zoneMinReadyShare'];
    this.minReadyShare = typeof share === 'number' && share >= 0 && share <= 1 ? share : DEFAULT_MIN_READY_SHARE;
  }

  update(ready: readonly PickCandidate[], all: readonly PickCandidate[]): void {
    const localReady = ready.filter((candidate) => candidate.zone === this.zone);
    const localAll = all.filter((candidate) => candidate.zone === this.zone);
    if (localReady.length > 0 && localReady.length >= this.minReadyShare * localAll.length) {
      this.active = this.local ??= this.create();
      this.active.update(localReady, localAll);
    } else {
      this.active = this.global ??= this.create();
      this.active.update(ready, all);
    }
  }

  pick(request: PickRequest): PickCandidate {
    return this.active.pick(request);
  }
}
