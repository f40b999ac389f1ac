// Writes one snapshot after the other, each numbered and of 2 MB, until it is killed:
// `node write-snapshots.mjs <compiled snapshot-file> <path> <first number>`.
const { writeSnapshot } = await import(process.argv[2]);

const filling = `${'x'.repeat(9_999)}\n`;
const pieces = function* (number) {
  for (let n = 0; n < 200; n += 1) yield filling;
  yield `${number}\n`;
};
for (let number = Number(process.argv[4]); ; number += 1) {
  await writeSnapshot(process.argv[3], pieces(number));
  console.log(number);
}
