// One number in several formats, bit by bit. Exact: numbers are fractions of BigInts, nothing passes through a double.
// The same module runs in a notebook (anywidget calls `render`) and in an exported page (frames.js calls it).
//
// A format: {name, exponent_bits, significand_bits, bias, specials}, as fpsim.Format has them.
// A number: {sign, num, den} with num >= 0 and den > 0; or {special: "inf", sign}; or {special: "nan"}.
// The state of the box, `number`: {text: "0.1"}, or {format: 0, code: "0x2e66"} once a bit of that row was clicked.

const one = 1n;
const pow2 = (e) => one << BigInt(e);
const bitLength = (x) => x.toString(2).length;

function decode(code, f) {
  const m = BigInt(f.significand_bits);
  const ones = pow2(f.exponent_bits) - one;
  const M = code & (pow2(f.significand_bits) - one);
  const E = (code >> m) & ones;
  const sign = Number(code >> (m + BigInt(f.exponent_bits)));
  if (f.specials === "ieee" && E === ones) return M === 0n ? { special: "inf", sign } : { special: "nan" };
  if (f.specials === "fn" && E === ones && M === pow2(f.significand_bits) - one) return { special: "nan" };
  if (f.specials === "fnuz" && sign && E === 0n && M === 0n) return { special: "nan" };
  const significand = E === 0n ? M : M | pow2(f.significand_bits);
  const e = (E === 0n ? 1 : Number(E)) - f.bias - f.significand_bits;
  return e >= 0 ? { sign, num: significand << BigInt(e), den: one } : { sign, num: significand, den: pow2(-e) };
}

function specialCode(number, f) {
  const all = pow2(f.exponent_bits + f.significand_bits) - one;
  const signBit = (s) => (s ? all + one : 0n);
  const infinite = (pow2(f.exponent_bits) - one) << BigInt(f.significand_bits);
  if (number.special === "inf" && f.specials === "ieee") return signBit(number.sign) | infinite;
  if (f.specials === "finite") return signBit(number.sign) | all; // neither inf nor NaN: the largest number
  if (f.specials === "fnuz") return all + one;
  return f.specials === "ieee" ? infinite | pow2(f.significand_bits - 1) : all;
}

// The code of the nearest number of the format; a tie goes to the even code.
function encode(number, f) {
  if (number.special) return specialCode(number, f);
  const { sign, num, den } = number;
  const signBit = sign ? pow2(f.exponent_bits + f.significand_bits) : 0n;
  if (num === 0n) return f.specials === "fnuz" ? 0n : signBit;
  const emin = 1 - f.bias;
  let e = bitLength(num) - bitLength(den);
  if (e >= 0 ? num < den << BigInt(e) : num << BigInt(-e) < den) e -= 1; // now 2^e <= num/den < 2^(e+1)
  e = Math.max(e, emin);
  const q = e - f.significand_bits; // of the last bit
  const n = q < 0 ? num << BigInt(-q) : num;
  const d = q < 0 ? den : den << BigInt(q);
  let s = n / d;
  const twice = 2n * (n % d);
  if (twice > d || (twice === d && s & one)) s += one;
  const code = (BigInt(e - emin) << BigInt(f.significand_bits)) + s; // a carry runs into the exponent by itself
  const all = pow2(f.exponent_bits + f.significand_bits) - one;
  const largest = { ieee: ((pow2(f.exponent_bits) - one) << BigInt(f.significand_bits)) - one, fn: all - one }[f.specials] ?? all;
  if (code > largest) return specialCode({ special: "inf", sign }, f);
  if (code === 0n && f.specials === "fnuz") return 0n;
  return signBit | code;
}

// The next number up or down; after the largest comes infinity, or NaN, or nothing, as the format has them.
function step(code, up, f) {
  const signBit = pow2(f.exponent_bits + f.significand_bits);
  const { special, sign } = decode(code, f);
  if (special === "nan" || (special === "inf" && up === !sign)) return code;
  let ordered = code & signBit ? -(code ^ signBit) : code;
  ordered += up ? one : -one;
  const magnitude = ordered < 0n ? -ordered : ordered;
  if (magnitude >= signBit) return f.specials === "fnuz" ? signBit : code;
  if (f.specials === "fnuz" && magnitude === 0n) return 0n;
  const negative = ordered < 0n || (ordered === 0n && sign === 1 && up); // -1 ulp goes to -0, as in IEEE 754
  return negative ? magnitude | signBit : magnitude;
}

// All digits of a number whose denominator is a power of two.
function decimal(number) {
  if (number.special) return (number.sign ? "-" : "") + number.special;
  const k = bitLength(number.den) - 1;
  const digits = (number.num * 5n ** BigInt(k)).toString().padStart(k + 1, "0");
  const whole = digits.slice(0, digits.length - k);
  const fraction = k ? digits.slice(-k).replace(/0+$/, "") : "";
  return (number.sign ? "-" : "") + whole + (fraction ? "." + fraction : "");
}

// "0.1", "-2.5e-3", "1/3", "inf", "nan"; null where it is none of these.
function parse(text) {
  const t = text.trim().toLowerCase().replace(/_/g, "");
  const special = t.match(/^([+-]?)(inf|infinity|nan)$/);
  if (special) return special[2] === "nan" ? { special: "nan" } : { special: "inf", sign: Number(special[1] === "-") };
  const ratio = t.match(/^([+-]?)(\d+)\/(\d+)$/);
  if (ratio) {
    const den = BigInt(ratio[3]);
    return den ? { sign: Number(ratio[1] === "-"), num: BigInt(ratio[2]), den } : null;
  }
  const found = t.match(/^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,4}))?$/);
  if (!found || !(found[2] || found[3])) return null;
  const fraction = found[3] ?? "";
  const exponent = Number(found[4] ?? 0) - fraction.length;
  if (Math.abs(exponent) > 1500) return null;
  const num = BigInt((found[2] ?? "") + fraction);
  const sign = Number(found[1] === "-");
  return exponent >= 0 ? { sign, num: num * 10n ** BigInt(exponent), den: one } : { sign, num, den: 10n ** BigInt(-exponent) };
}

// A fraction as a double, to a relative error of 2^-60 or so: for showing errors.
function approximately(num, den) {
  if (num === 0n) return 0;
  const shift = bitLength(den) - bitLength(num) + 64;
  const q = shift >= 0 ? (num << BigInt(shift)) / den : num / (den << BigInt(-shift));
  const low = -Math.round(shift / 2);
  return Number(q) * 2 ** low * 2 ** (-shift - low);
}

// What stands in one row: the code, the number that it means, and how far that is from the exact one.
function row(number, f, code = encode(number, f)) {
  const width = 1 + f.exponent_bits + f.significand_bits;
  if (number.special === "nan" && f.specials === "finite") {
    return { code: "0x0", stored: "nothing: this format has no NaN", error: "", bits: "0".repeat(width) };
  }
  const stored = decode(code, f);
  const found = { code: "0x" + code.toString(16).padStart(Math.ceil(width / 4), "0"), stored: decimal(stored), error: "" };
  found.bits = code.toString(2).padStart(width, "0");
  if (!stored.special && !number.special) {
    const signed = (x) => (x.sign ? -x.num : x.num);
    const difference = signed(stored) * number.den - signed(number) * stored.den;
    const size = approximately(difference < 0n ? -difference : difference, number.den * stored.den);
    const relative = number.num ? approximately((difference < 0n ? -difference : difference) * number.den, number.den * stored.den * number.num) : 0;
    found.error = difference === 0n ? "exact" : `error ${difference < 0n ? "-" : "+"}${size.toPrecision(3)}, relative ${relative.toPrecision(2)}`;
  }
  return found;
}

// The number that a state of the box means, or null.
const meaning = (state, formats) => ("text" in state ? parse(state.text) : decode(BigInt(state.code), formats[state.format]));

function rows(state, formats) {
  const number = meaning(state, formats);
  return formats.map((f, i) => row(number, f, "text" in state || i !== state.format ? undefined : BigInt(state.code)));
}

const FIELDS = ["sign", "exponent", "significand"];
const fieldOf = (bit, f) => FIELDS[bit === 0 ? 0 : bit <= f.exponent_bits ? 1 : 2];

function element(parent, tag, className, text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  parent.append(made);
  return made;
}

function render({ model, el }) {
  const formats = model.get("formats");
  const box = element(el, "div", "fpsim-bits");
  const given = element(box, "label", "fpsim-given", "number ");
  const input = element(given, "input", "");
  input.type = "text";
  input.spellcheck = false;
  input.autocomplete = "off";
  const complaint = element(box, "p", "fpsim-complaint");
  complaint.setAttribute("role", "alert");

  const become = (state) => {
    complaint.textContent = "";
    model.set("number", state);
    model.save_changes();
  };
  const codeOf = (i) => BigInt(rows(model.get("number"), formats)[i].code);
  const typed = () => {
    if (input.value === input.dataset.shown) return;
    if (parse(input.value) === null) complaint.textContent = `${input.value} is not a number such as 0.1, 2.5e-3, 1/3 or inf`;
    else become({ text: input.value.trim() });
  };
  input.addEventListener("change", typed);
  input.addEventListener("keydown", (event) => event.key === "Enter" && typed());

  const shown = formats.map((f, i) => {
    const group = element(box, "div", "fpsim-row");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", f.name);
    const head = element(group, "div", "fpsim-head");
    element(head, "strong", "", f.name);
    const code = element(head, "code", "fpsim-code");
    for (const [up, label] of [[false, "− 1 ulp"], [true, "+ 1 ulp"]]) {
      const button = element(head, "button", "fpsim-ulp", label);
      button.type = "button";
      button.setAttribute("aria-label", `${f.name}: one ulp ${up ? "up" : "down"}`);
      button.addEventListener("click", () => become({ format: i, code: "0x" + step(codeOf(i), up, f).toString(16) }));
    }
    const line = element(group, "div", "fpsim-line");
    const width = 1 + f.exponent_bits + f.significand_bits;
    const buttons = Array.from({ length: width }, (_, bit) => {
      const field = fieldOf(bit, f);
      const starts = bit === 1 || bit === 1 + f.exponent_bits ? " fpsim-starts" : "";
      const button = element(line, "button", `fpsim-bit fpsim-${field}${starts}`);
      button.type = "button";
      button.addEventListener("click", () =>
        become({ format: i, code: "0x" + (codeOf(i) ^ pow2(width - 1 - bit)).toString(16) })
      );
      return button;
    });
    const value = element(group, "div", "fpsim-value");
    const stored = element(value, "output", "fpsim-stored");
    const error = element(value, "span", "fpsim-error");
    return { f, code, buttons, stored, error };
  });

  const update = () => {
    const state = model.get("number");
    const number = meaning(state, formats);
    if (number === null) return;
    input.value = input.dataset.shown = "text" in state ? state.text : decimal(number);
    rows(state, formats).forEach((found, i) => {
      const { f, code, buttons, stored, error } = shown[i];
      code.textContent = found.code;
      stored.textContent = found.stored;
      error.textContent = found.error;
      buttons.forEach((button, bit) => {
        const field = fieldOf(bit, f);
        const place = field === "sign" ? "" : ` ${(bit <= f.exponent_bits ? f.exponent_bits : f.exponent_bits + f.significand_bits) - bit}`;
        button.textContent = found.bits[bit];
        button.setAttribute("aria-label", `${f.name} ${field} bit${place} is ${found.bits[bit]}: flip it`);
      });
    });
  };
  model.on("change:number", update);
  update();
}

export { decode, encode, step, decimal, parse, rows };
export default { render };
