/** Lists the namespace SCALE_NAMESPACE of SCALE_ETCD once, by the driver alone. */
import { LoopWatch } from '../support/loop-watch.js';
import { answerQuestions } from '../support/questions.js';
import { RawEtcd } from './raw-etcd.js';

const { SCALE_ETCD = '', SCALE_NAMESPACE = '' } = process.env;
const etcd = new RawEtcd(SCALE_ETCD);
const loop = new LoopWatch();

answerQuestions({
  sync: async () => {
    const begun = performance.now();
    const values = await etcd.list(`${SCALE_NAMESPACE}/`);
    return { ms: performance.now() - begun, instances: values.length };
  },

  block: async () => {
    await etcd.list('/none/');
    loop.start();
    await etcd.list(`${SCALE_NAMESPACE}/`);
    return loop.stop();
  },
});
