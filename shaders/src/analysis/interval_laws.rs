//! Every operation on intervals contains what the machine computes on their elements.

use super::interval::{Int, Interval};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    /// A number near somewhere interesting.
    fn number(&mut self, ty: Int) -> i128 {
        let near = [
            ty.min(),
            ty.max(),
            0,
            1,
            31,
            64,
            1000,
            1 << 16,
            ty.max() / 2,
        ];
        let centre = near[self.below(near.len() as u64) as usize];
        let value = centre + i128::from(self.below(41)) - 20;
        value.clamp(ty.min(), ty.max())
    }

    fn interval(&mut self, ty: Int) -> Interval {
        let (a, b) = (self.number(ty), self.number(ty));
        let plain = Interval::new(ty, a.min(b), a.max(b));
        match self.below(4) {
            0 => Interval::exact(ty, a),
            // Often one that straddles the lower limit.
            1 => Interval::new(ty, ty.min(), ty.min() + i128::from(self.below(50)))
                .sub(Interval::exact(ty, i128::from(self.below(30)))),
            2 => Interval::new(ty, a, (a + i128::from(self.below(40))).min(ty.max())),
            _ => plain,
        }
    }

    fn element(&mut self, of: Interval) -> i128 {
        let pieces: Vec<_> = of.pieces().into_iter().flatten().collect();
        let (lo, hi) = pieces[self.below(pieces.len() as u64) as usize];
        match self.below(4) {
            0 => lo,
            1 => hi,
            _ => lo + i128::from(self.next()) % (hi - lo + 1),
        }
    }
}

fn holds(interval: Interval, value: i128) -> bool {
    let mut pieces = interval.pieces().into_iter().flatten();
    pieces.any(|(lo, hi)| (lo..=hi).contains(&value))
}

/// One binary operation as the machine does it.
type Machine = fn(Int, i128, i128) -> i128;
type Abstract = fn(Interval, Interval) -> Interval;

fn wrap(ty: Int, value: i128) -> i128 {
    match ty {
        Int::U32 => i128::from(value as u32),
        Int::I32 => i128::from(value as i32),
        Int::U16 => i128::from(value as u16),
        Int::I16 => i128::from(value as i16),
        Int::U64 => i128::from(value as u64),
        Int::I64 => i128::from(value as i64),
        Int::Bool => value & 1,
    }
}

#[test]
fn operations_contain_what_the_machine_computes() {
    let operations: [(&str, Abstract, Machine); 14] = [
        ("+", Interval::add, |ty, a, b| wrap(ty, a + b)),
        ("-", Interval::sub, |ty, a, b| wrap(ty, a - b)),
        ("*", Interval::mul, |ty, a, b| wrap(ty, a.wrapping_mul(b))),
        ("/", Interval::div, |ty, a, b| {
            wrap(ty, if b == 0 { a } else { a / b })
        }),
        ("%", Interval::rem, |ty, a, b| {
            wrap(ty, if b == 0 { 0 } else { a % b })
        }),
        ("&", Interval::and, |_, a, b| a & b),
        ("|", Interval::or, |_, a, b| a | b),
        ("^", Interval::xor, |_, a, b| a ^ b),
        ("<<", Interval::shl, |ty, a, b| {
            wrap(ty, a << (b & i128::from(ty.bits() - 1)))
        }),
        (">>", Interval::shr, |ty, a, b| {
            a >> (b & i128::from(ty.bits() - 1))
        }),
        ("min", Interval::min, |_, a, b| a.min(b)),
        ("max", Interval::max, |_, a, b| a.max(b)),
        ("<", Interval::less, |_, a, b| i128::from(a < b)),
        ("==", Interval::equal, |_, a, b| i128::from(a == b)),
    ];
    let mut random = Random(7);
    for ty in [Int::U32, Int::I32, Int::U16, Int::I16, Int::U64, Int::I64] {
        for _ in 0..4000 {
            let (a, b) = (random.interval(ty), random.interval(ty));
            let (x, y) = (random.element(a), random.element(b));
            for (name, abstracted, machine) in operations {
                let result = abstracted(a, b);
                let value = machine(ty, x, y);
                assert!(
                    holds(result, value),
                    "{x} {name} {y} = {value} is not in {result:?} = {a:?} {name} {b:?}"
                );
            }
        }
    }
}

#[test]
fn unary_operations_and_casts_contain_what_the_machine_computes() {
    let mut random = Random(11);
    let types = [Int::U32, Int::I32, Int::U16, Int::I16, Int::U64, Int::I64];
    for ty in types {
        for _ in 0..4000 {
            let a = random.interval(ty);
            let x = random.element(a);
            assert!(holds(a.neg(), wrap(ty, -x)), "-{x} of {a:?}");
            assert!(holds(a.not(), wrap(ty, !x)), "~{x} of {a:?}");
            assert!(holds(a.abs(), wrap(ty, x.abs())), "|{x}| of {a:?}");
            for to in types {
                let cast = a.cast(to);
                assert!(holds(cast, wrap(to, x)), "{x} of {a:?} as {to:?}: {cast:?}");
            }
            assert!(holds(a.cast(Int::Bool), i128::from(x != 0)));
        }
    }
}

#[test]
fn joins_and_meets_keep_elements() {
    let mut random = Random(13);
    for ty in [Int::U32, Int::I32] {
        for _ in 0..20_000 {
            let (a, b) = (random.interval(ty), random.interval(ty));
            let x = random.element(a);
            assert!(holds(a.join(b), x) && holds(b.join(a), x));
            let wide = b.widen(a, &[0, 5, 64, 1000]);
            assert!(holds(wide, x), "{x} of {a:?} in {wide:?} from {b:?}");
            let limit = b.normal();
            if holds(limit, x) {
                let met = a.meet(limit);
                assert!(
                    met.is_some_and(|met| holds(met, x)),
                    "{x} in {a:?} and {limit:?}"
                );
            }
            if a.within(b) && b.lo >= ty.min() && a.lo >= ty.min() {
                assert!(holds(b, x));
            }
        }
    }
}
