// Means of closes, for drawing only: numbers, not prices.

/**
 * One number a row, null where not all of the `count` windows up to it have a closed candle:
 * nothing is padded, and a gap interrupts. closes: NaN where there is no closed candle.
 */
export function movingAverage(closes, count) {
  const found = new Array(closes.length).fill(null);
  let run = 0;
  let sum = 0;
  for (let place = 0; place < closes.length; place += 1) {
    if (Number.isNaN(closes[place])) {
      run = 0;
      sum = 0;
      continue;
    }
    run += 1;
    sum += closes[place];
    if (run > count) sum -= closes[place - count];
    if (run >= count) found[place] = sum / count;
  }
  return found;
}
