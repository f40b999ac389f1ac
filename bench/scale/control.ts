/** A process that does nothing but watch its own event loop: what the machine itself takes from everybody. */
import { LoopWatch } from '../support/loop-watch.js';
import { answerQuestions } from '../support/questions.js';

const loop = new LoopWatch();

answerQuestions({ start: () => loop.start(), stop: () => loop.stop() });
