//! Random bindings: element types, layouts, roles and sizes.

use super::super::program::{Buffer, Content, Family, Order, Owning, Role, Shape};
use super::super::types::{Scalar, Ty};
use super::Generator;

/// The most bytes of an element.
const WIDEST: u32 = 256;

impl Generator {
    pub(super) fn buffers(&mut self, bytes: u64) {
        let data = self.chance.within(1, 3);
        let own = self.chance.within(1, 2);
        let shares: Vec<u64> = (0..data + own).map(|_| 1 + self.chance.below(4)).collect();
        let all: u64 = shares.iter().sum();
        for (at, share) in shares.iter().enumerate() {
            let bytes = bytes * share / all;
            if (at as u32) < data {
                self.data_buffer(bytes);
            } else {
                self.own_buffer(bytes, None);
            }
        }
        if self.chance.percent(35) {
            self.atomics(bytes / 16);
        }
        if self.chance.percent(12) {
            let count = self.program.invocations().div_ceil(32);
            let count = if self.wild {
                self.chance.within(1, count)
            } else {
                count
            };
            self.add(Role::Bits, Ty::WORD, Shape::Runtime, count);
        }
        if self.chance.percent(8) {
            let counter = self.add(Role::Counter, Ty::WORD, Shape::Runtime, 1);
            let word = self.chance.next() as u32;
            let all = 4 * self.program.invocations();
            let count = if self.wild {
                self.chance.within(1, all)
            } else {
                all
            };
            self.add(Role::Log { counter, word }, Ty::WORD, Shape::Runtime, count);
        }
    }

    pub(super) fn add(&mut self, role: Role, element: Ty, shape: Shape, count: u32) -> usize {
        let data = matches!(role, Role::Data(_) | Role::Permutation);
        let ample = |chance: &mut super::Chance| match chance.word(3) {
            0 => 0,
            1 => 256 * chance.word(40),
            _ => 16 * chance.word(100),
        };
        self.program.buffers.push(Buffer {
            read_write: !data || self.chance.percent(30),
            role,
            element,
            shape,
            count: count.max(1),
            margins: [ample(&mut self.chance), ample(&mut self.chance)],
            group: self.chance.word(2),
        });
        self.program.buffers.len() - 1
    }

    fn data_buffer(&mut self, bytes: u64) {
        let words = (bytes / 4).clamp(8, 1 << 24) as u32;
        let role = self.chance.weighted(&[
            (3, Role::Data(Content::Any)),
            (2, Role::Data(Content::Small)),
            (5, Role::Data(Content::Near { bound: 0 })),
            (1, Role::Data(Content::Below { bound: 0 })),
            (1, Role::Permutation),
        ]);
        match role {
            Role::Permutation => {
                let count = words.max(self.program.invocations());
                self.add(role, Ty::WORD, Shape::Runtime, count);
            }
            // Indices into whatever is about as large; the last one is usually what they are used for.
            Role::Data(Content::Near { .. } | Content::Below { .. }) => {
                let bound = match self.program.buffers.last() {
                    Some(last) if self.chance.percent(60) => last.count,
                    _ => words,
                };
                let content = match role {
                    Role::Data(Content::Near { .. }) => Content::Near { bound },
                    _ => Content::Below { bound },
                };
                let shape = self.shape();
                self.add(Role::Data(content), Ty::WORD, shape, words);
            }
            role => {
                let (element, shape) = (self.element(2), self.shape());
                let count = words * 4 / element.stride();
                self.add(role, element, shape, count);
            }
        }
    }

    /// Elements for invocations, or for the numbers below a bound that a buffer hands out.
    pub(super) fn own_buffer(&mut self, bytes: u64, by: Option<(usize, u32)>) -> usize {
        let owners = by.map_or_else(|| self.program.invocations(), |(_, many)| many);
        let element = self.element(2);
        let (slots, shape) = (self.chance.pick(&[1, 1, 2, 3]), self.shape());
        // Chains need somewhere to go.
        let slots = match self.late && self.chance.percent(50) {
            true => self.chance.pick(&[2, 4, 8]),
            false => slots,
        };
        let mut permutations = self.buffers_where(|r| matches!(r, Role::Permutation));
        permutations.retain(|at| self.program.buffers[*at].count >= owners);
        let power = owners.next_power_of_two();
        let order = match self.chance.word(10) {
            0..=3 => Order::Strided,
            4 => Order::Blocked,
            5 => Order::Reversed,
            6 => Order::Flipped(self.chance.word(power)),
            7 => Order::Odd(2 * self.chance.word(1000) + 1, power - 1),
            8 if by.is_none() => Order::Lanes,
            _ if permutations.is_empty() => Order::Strided,
            _ => Order::Through(self.chance.pick(&permutations)),
        };
        let numbers = match &order {
            Order::Flipped(_) | Order::Odd(..) => power,
            Order::Through(permutation) => self.program.buffers[*permutation].count,
            _ => owners,
        };
        let least = numbers * slots;
        let words = (bytes / u64::from(element.stride())).min(1 << 24) as u32;
        let gap = match words / least {
            0 | 1 => 1,
            fits => self
                .chance
                .pick(&[1, fits, fits, self.chance.clone().within(1, fits)]),
        };
        let mut count = (least * gap).max(words.min(4 * least * gap));
        let mut bias = 0;
        if self.wild && self.chance.percent(40) {
            match self.chance.word(3) {
                0 => count = self.chance.within(1, count),
                1 => bias = 0u32.wrapping_sub(self.chance.within(1, least * gap)),
                _ => {
                    bias = self
                        .chance
                        .pick(&[1, count / 2, count, 0x4000_0000, 0xffff_ff00])
                }
            }
        }
        let owning = Owning {
            by,
            slots,
            gap,
            bias,
            order,
        };
        self.add(Role::Own(owning), element, shape, count)
    }

    fn atomics(&mut self, bytes: u64) {
        let family = self.chance.weighted(&[
            (4, Family::Sum),
            (1, Family::And),
            (1, Family::Or),
            (1, Family::Xor),
            (1, Family::Min),
            (1, Family::Max),
        ]);
        let element = Ty::Scalar(self.chance.pick(&[Scalar::U32, Scalar::I32]));
        let count = self.chance.pick(&[1, 16, 100, (bytes / 4) as u32]);
        let shape = match self.chance.word(4) {
            0 => Shape::Fixed,
            1 => Shape::Header(self.chance.within(1, 5)),
            _ => Shape::Runtime,
        };
        self.add(
            Role::Atomic(family),
            element,
            shape,
            count.clamp(1, 1 << 22),
        );
    }

    fn shape(&mut self) -> Shape {
        match self.chance.word(10) {
            0 => Shape::Fixed,
            1 | 2 => Shape::Header(self.chance.within(1, 9)),
            _ => Shape::Runtime,
        }
    }

    /// A type for elements, of at most [`WIDEST`] bytes.
    fn element(&mut self, depth: u32) -> Ty {
        let ty = self.ty(depth);
        if ty.stride() <= WIDEST {
            ty
        } else {
            self.ty(0)
        }
    }

    fn scalar(&mut self) -> Scalar {
        self.chance
            .weighted(&[(5, Scalar::U32), (2, Scalar::I32), (2, Scalar::F32)])
    }

    fn ty(&mut self, depth: u32) -> Ty {
        let kind = if depth == 0 {
            self.chance.word(8)
        } else {
            self.chance.word(13)
        };
        match kind {
            0..=4 => Ty::Scalar(self.scalar()),
            5 | 6 => Ty::Vector(self.scalar(), self.chance.within(2, 4)),
            7 => Ty::Matrix(self.chance.within(2, 4), self.chance.within(2, 4)),
            8 | 9 => Ty::Array(Box::new(self.ty(depth - 1)), self.chance.within(1, 5)),
            _ => {
                let members = (0..self.chance.within(1, 4))
                    .map(|_| self.ty(depth - 1))
                    .collect();
                let more = if self.chance.percent(15) {
                    4 * self.chance.within(1, 4)
                } else {
                    0
                };
                Ty::Struct(members, more)
            }
        }
    }
}
