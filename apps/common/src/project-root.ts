import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The directory that holds `proto/` and `config/`: the nearest one above this file that has a `proto` folder. Right from
 * the sources and from `dist/` alike, and independent of the working directory.
 *
 * @throws when there is none: the application was copied without its protos.
 */
export function projectRoot(from: string = fileURLToPath(import.meta.url)): string {
  for (let directory = dirname(from); ; directory = dirname(directory)) {
    if (existsSync(join(directory, 'proto'))) return directory;
    if (directory === dirname(directory)) {
      throw new Error(
        `no "proto" folder in any directory above ${from}; the application needs it beside its dist folder`,
      );
    }
  }
}

/** Proto and package of the notification service, as the server and its clients load them. */
export const notificationProto = {
  package: 'notification.v1',
  protoPath: join(projectRoot(), 'proto/notification/v1/notification.proto'),
};
