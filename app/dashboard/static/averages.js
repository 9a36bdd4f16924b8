// Means of closes, for drawing only: numbers, not prices.

/**
 * One number a row, null where not all of the `count` windows up to it have a closed candle:
 * nothing is padded, and a gap interrupts. closes: NaN where there is no closed candle; times: when
 * the windows open, length: of each, ms. A window may be missing altogether.
 */
export function movingAverage(closes, count, times, length) {
  const found = new Array(closes.length).fill(null);
  let run = 0;
  let sum = 0;
  for (let place = 0; place < closes.length; place += 1) {
    const missing = place > 0 && times[place] - times[place - 1] !== length;
    if (missing || Number.isNaN(closes[place])) {
      run = 0;
      sum = 0;
    }
    if (Number.isNaN(closes[place])) continue;
    run += 1;
    sum += closes[place];
    if (run > count) sum -= closes[place - count];
    if (run >= count) found[place] = sum / count;
  }
  return found;
}
