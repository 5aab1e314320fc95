//! Types of storage: how they are written, and where their parts lie by WGSL's rules.

/// A scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    U32,
    I32,
    /// Whole numbers of few bits, so that all arithmetic is exact.
    F32,
    Bool,
}

impl Scalar {
    pub fn name(self) -> &'static str {
        match self {
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
        }
    }
}

/// A type that can be in storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ty {
    Scalar(Scalar),
    /// Components.
    Vector(Scalar, u32),
    /// Columns and rows, of floats.
    Matrix(u32, u32),
    Array(Box<Self>, u32),
    /// Members, and the `@size` of the first where it is more than natural.
    Struct(Vec<Self>, u32),
}

impl Ty {
    pub const WORD: Self = Self::Scalar(Scalar::U32);

    /// Bytes from one element of an array to the next.
    pub fn stride(&self) -> u32 {
        self.size().next_multiple_of(self.align())
    }

    pub fn align(&self) -> u32 {
        match self {
            Self::Scalar(_) => 4,
            Self::Vector(_, 2) | Self::Matrix(_, 2) => 8,
            Self::Vector(..) | Self::Matrix(..) => 16,
            Self::Array(of, _) => of.align(),
            Self::Struct(members, _) => members.iter().map(Self::align).max().unwrap_or(4),
        }
    }

    pub fn size(&self) -> u32 {
        match self {
            Self::Scalar(_) => 4,
            Self::Vector(_, n) => 4 * n,
            Self::Matrix(columns, _) => columns * self.align(),
            Self::Array(of, n) => n * of.stride(),
            Self::Struct(members, _) => {
                let last = members.len() - 1;
                (self.offset(last as u32) + self.spacious(last)).next_multiple_of(self.align())
            }
        }
    }

    /// A member's size with what `@size` adds.
    fn spacious(&self, member: usize) -> u32 {
        let Self::Struct(members, more) = self else {
            return self.size();
        };
        members[member].size() + if member == 0 { *more } else { 0 }
    }

    /// Where a structure's member begins.
    pub fn offset(&self, member: u32) -> u32 {
        let Self::Struct(members, _) = self else {
            return 0;
        };
        let mut at = 0;
        for (i, ty) in members.iter().enumerate() {
            at = u32::next_multiple_of(at, ty.align());
            if i as u32 == member {
                break;
            }
            at += self.spacious(i);
        }
        at
    }

    /// Its scalars, with their offsets, in memory order.
    pub fn leaves(&self) -> Vec<(u32, Scalar)> {
        let within = |at: u32, ty: &Self| {
            let leaves = ty.leaves().into_iter();
            leaves.map(move |(offset, scalar)| (at + offset, scalar))
        };
        match self {
            Self::Scalar(scalar) => vec![(0, *scalar)],
            Self::Vector(scalar, n) => (0..*n).map(|i| (4 * i, *scalar)).collect(),
            Self::Matrix(columns, rows) => {
                let column = Self::Vector(Scalar::F32, *rows);
                let at = |c: u32| c * self.align();
                (0..*columns).flat_map(|c| within(at(c), &column)).collect()
            }
            Self::Array(of, n) => (0..*n).flat_map(|i| within(i * of.stride(), of)).collect(),
            Self::Struct(members, _) => (0..)
                .zip(members)
                .flat_map(|(i, ty)| within(self.offset(i), ty))
                .collect(),
        }
    }

    /// What an index leads to, and how many there are.
    pub fn indexed(&self) -> Option<(Self, u32)> {
        match self {
            Self::Vector(scalar, n) => Some((Self::Scalar(*scalar), *n)),
            Self::Matrix(columns, rows) => Some((Self::Vector(Scalar::F32, *rows), *columns)),
            Self::Array(of, n) => Some(((**of).clone(), *n)),
            Self::Scalar(_) | Self::Struct(..) => None,
        }
    }

    /// Its name; structures are declared in `declared`, in the order of their numbers.
    pub fn name(&self, declared: &mut Vec<Self>) -> String {
        match self {
            Self::Scalar(scalar) => scalar.name().to_owned(),
            Self::Vector(scalar, n) => format!("vec{n}<{}>", scalar.name()),
            Self::Matrix(columns, rows) => format!("mat{columns}x{rows}<f32>"),
            Self::Array(of, n) => format!("array<{}, {n}>", of.name(declared)),
            Self::Struct(members, _) => {
                for member in members {
                    member.name(declared);
                }
                let at = declared.iter().position(|d| d == self);
                let at = at.unwrap_or_else(|| {
                    declared.push(self.clone());
                    declared.len() - 1
                });
                format!("S{at}")
            }
        }
    }

    /// A structure's declaration.
    pub fn declaration(&self, declared: &mut Vec<Self>) -> String {
        let Self::Struct(members, more) = self else {
            return String::new();
        };
        let name = self.name(declared);
        let mut text = format!("struct {name} {{");
        for (i, member) in members.iter().enumerate() {
            if i == 0 && *more > 0 {
                text += &format!(" @size({})", member.size() + more);
            }
            text += &format!(" m{i}: {},", member.name(declared));
        }
        text + " }\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_lie_as_wgsl_says() {
        let three = Ty::Vector(Scalar::F32, 3);
        assert_eq!((three.size(), three.stride()), (12, 16));
        let mixed = Ty::Struct(vec![three, Ty::WORD, Ty::Matrix(3, 2)], 0);
        assert_eq!(
            (mixed.offset(1), mixed.offset(2), mixed.size()),
            (12, 16, 48)
        );
        let odd = Ty::Struct(vec![Ty::WORD, Ty::Array(Box::new(Ty::WORD), 4)], 0);
        assert_eq!((odd.stride(), odd.leaves().len()), (20, 5));
        let wide = Ty::Struct(vec![Ty::WORD, Ty::WORD], 8);
        assert_eq!((wide.offset(1), wide.size()), (12, 16));
        assert_eq!(Ty::Matrix(2, 3).leaves()[3], (16, Scalar::F32));
    }
}
