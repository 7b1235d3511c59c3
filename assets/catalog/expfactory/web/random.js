// Chance that can be repeated: the same seed gives the same numbers (Mulberry32, a public-domain generator by T. Ettinger).
export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  // A number from 0 to below 1.
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let x = this.state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  }

  // A whole number from 0 to below n.
  below(n) {
    return Math.floor(this.next() * n);
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  shuffle(list) {
    const a = [...list];
    for (let i = a.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [a[i], a[j]] = [a[j], a[i]];
    }
    return a;
  }

  // n things of a list, each as often as the others (as nearly as n allows), in random order.
  balanced(list, n) {
    const all = [];
    while (all.length < n) all.push(...this.shuffle(list));
    return this.shuffle(all.slice(0, n));
  }
}
