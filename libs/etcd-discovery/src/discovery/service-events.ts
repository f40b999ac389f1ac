import { Observable } from 'rxjs';
import type { ServiceCatalog, ServiceEvent } from '../catalog/service-catalog.js';

/**
 * The events of a service: its current instances as `added`, then every change. Waits for the first list if there is
 * none, never errors because of etcd, completes when the catalog closes or `ended` aborts; unsubscribing gives the share
 * in the watch back.
 */
export const serviceEvents = (catalog: ServiceCatalog, service: string, ended: AbortSignal): Observable<ServiceEvent> =>
  new Observable<ServiceEvent>((subscriber) => {
    if (ended.aborted) return subscriber.complete();
    const share = catalog.acquire(service);
    const complete = () => subscriber.complete();
    const offClose = catalog.onClose(complete);
    ended.addEventListener('abort', complete, { once: true });
    subscriber.add(() => {
      offClose();
      ended.removeEventListener('abort', complete);
      share.release();
    });
    const emit = (events: readonly ServiceEvent[]) => {
      for (const event of events) subscriber.next(event);
    };
    const { snapshot } = share;
    if (snapshot) {
      const { instances, revision } = snapshot;
      emit(instances.map((instance) => ({ type: 'added', instance, revision })));
    }
    share.onChange(({ events }) => emit(events));
  });
