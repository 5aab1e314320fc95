//! A kernel as a tree: what it binds, what it does. Any tree that the generator makes, and any that the shrinker makes of
//! one, has one result whatever the order of its invocations:
//!
//! - data are only read;
//! - a buffer of *own* elements is stored to and loaded from at [`Index::Own`] alone, which no two invocations share;
//! - a buffer of atomics knows one family of operations that commute; results are not used, or tell of own bits only;
//! - a number that an atomic operation hands out ([`Stmt::Ticket`], [`Stmt::Claim`]) is handed out by one statement alone, and
//!   what is done in its name depends on it and not on who got it: in whatever order numbers go, the same is done for each;
//! - what is tossed into a bag ([`Stmt::Toss`]) lies there in any order, and is compared so;
//! - barriers stand where all invocations of a workgroup come by.

use super::types::{Scalar, Ty};

/// A kernel with its grid.
#[derive(Clone, Debug)]
pub struct Program {
    pub buffers: Vec<Buffer>,
    /// Words of the uniform.
    pub params: Vec<u32>,
    pub workgroup: [u32; 3],
    pub grid: [u32; 3],
    /// Whether indices may be out of bounds.
    pub wild: bool,
    /// Whether an invocation's number is made of its global id, and not of its workgroup's.
    pub by_id: bool,
    pub functions: Vec<Function>,
    pub body: Vec<Stmt>,
}

impl Program {
    /// Invocations of a workgroup.
    pub fn lanes(&self) -> u32 {
        self.workgroup.iter().product()
    }

    /// Invocations in all.
    pub fn invocations(&self) -> u32 {
        self.lanes() * self.grid.iter().product::<u32>()
    }

    /// Invocations, or numbers handed out, that have elements of their own.
    pub fn owners(&self, owning: &Owning) -> u32 {
        owning
            .by
            .map_or_else(|| self.invocations(), |(_, many)| many)
    }
}

/// A storage binding.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub role: Role,
    pub element: Ty,
    pub shape: Shape,
    /// Elements that are bound.
    pub count: u32,
    /// Bytes of its memory before the binding, and after.
    pub margins: [u32; 2],
    /// Declared `read_write`, though it may be only read.
    pub read_write: bool,
    pub group: u32,
}

/// What a buffer is for.
#[derive(Clone, Debug)]
pub enum Role {
    /// Only read.
    Data(Content),
    /// The numbers below its count, each once.
    Permutation,
    /// Elements that belong to one invocation each.
    Own(Owning),
    /// Atomics that everybody updates, by one family of operations.
    Atomic(Family),
    /// One bit for each invocation, set by atomic operations.
    Bits,
    /// Its first word counts what is appended to a log or tossed into a bag, or is the next ticket.
    Counter,
    /// A word each for what can be claimed once.
    Claims,
    /// Words in any order, in places that the counter's buffer gives.
    Bag { counter: usize },
    /// What is appended: always the same word, in the place that the counter's buffer gives.
    Log { counter: usize, word: u32 },
}

/// What data hold.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// Numbers below 16.
    Small,
    /// Any word.
    Any,
    /// Element `i` of `n` is near `i * bound / n`: a place in an array of `bound` elements.
    Near { bound: u32 },
    /// Below the bound.
    Below { bound: u32 },
}

/// Which elements belong to an invocation, or to a number handed out.
#[derive(Clone, Debug)]
pub struct Owning {
    /// Whose elements they are: invocations', or those of the numbers below a bound that a buffer of tickets or claims hands out.
    pub by: Option<(usize, u32)>,
    /// How many.
    pub slots: u32,
    /// From one to the next.
    pub gap: u32,
    /// Added, wrapping, so that some or all may be out of bounds.
    pub bias: u32,
    pub order: Order,
}

/// In which order invocations have their elements.
#[derive(Clone, Debug)]
pub enum Order {
    /// By invocation, then slot.
    Strided,
    /// By slot, then invocation.
    Blocked,
    /// From the end.
    Reversed,
    /// By invocation, some bits of its number inverted: the mask is below a power of two that holds all.
    Flipped(u32),
    /// Multiplied by an odd number, modulo a power of two that holds all: numbers, mask.
    Odd(u32, u32),
    /// Through a buffer that is a permutation.
    Through(usize),
    /// By place in the workgroup, then workgroup.
    Lanes,
}

/// How a buffer is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A runtime-sized array.
    Runtime,
    /// A structure of so many words, then a runtime-sized array.
    Header(u32),
    /// An array of fixed size.
    Fixed,
}

/// Operations that commute with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Add and subtract; adding also by exchanging until it succeeds.
    Sum,
    And,
    Or,
    Xor,
    Min,
    Max,
}

/// A helper function, `fn f(ids, parameters: u32...) -> u32`. It may call those before it. One that stores is called as
/// a statement only.
#[derive(Clone, Debug)]
pub struct Function {
    /// The variables that are its parameters.
    pub parameters: Vec<u32>,
    pub body: Vec<Stmt>,
    pub result: Expr,
}

#[derive(Clone, Debug)]
pub enum Stmt {
    Let(u32, Expr),
    Var(u32, Expr),
    Assign(u32, Scalar, Expr),
    /// To a scalar that is the invocation's own.
    Store(Place, Style, Expr),
    /// A whole value, of the type that both places have.
    Copy(Place, Place, Ty),
    /// On an element of a buffer of atomics.
    Atomic {
        buffer: usize,
        index: Expr,
        /// Where a family has several: which.
        choice: u8,
        value: Expr,
    },
    /// Sets the invocation's bit; the variable becomes whether it was set.
    Bit(u32, usize),
    /// Appends to a log.
    Append(usize),
    /// Tosses a word into a bag.
    Toss(usize, Expr),
    /// Draws the next number of a counter's buffer and does something in its name: [`Id::Invocation`] is the number there.
    Ticket(usize, Vec<Stmt>),
    /// Does something in the name of an element of a buffer of claims, modulo how many there are, for the first that comes.
    Claim {
        claims: usize,
        index: Expr,
        /// By which operation.
        choice: u8,
        body: Vec<Stmt>,
    },
    /// Until a word of its own is not zero makes it one, and counts how often into a variable: where loads give zero and
    /// stores are dropped, that is [`PATIENCE`] times.
    Until(u32, Place),
    If(Expr, Vec<Stmt>, Vec<Stmt>),
    /// Counts a variable from 0 to the bound, at most to the number.
    For(u32, Expr, u32, Vec<Stmt>),
    /// As `For`, but a `loop` that ends in a `continuing`.
    Loop(u32, Expr, u32, Vec<Stmt>),
    /// Cases by number, and the default.
    Switch(Expr, Vec<(u32, Vec<Stmt>)>, Vec<Stmt>),
    BreakIf(Expr),
    ContinueIf(Expr),
    ReturnIf(Expr),
    /// Calls a function for what it does.
    Do(usize, Vec<Expr>),
    /// A word each into workgroup memory; the variable becomes that of another place.
    Exchange(u32, Expr, Expr),
    /// Atomic counters in workgroup memory: which to add what to, then which to read.
    Tally(u32, Expr, Expr, Expr),
    /// The variable becomes the first invocation's value, for all.
    Uniform(u32, Expr),
    /// A barrier for storage.
    Barrier,
}

/// How often [`Stmt::Until`] looks.
pub const PATIENCE: u32 = 20_000;

/// How a store is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    /// Through a pointer that is bound to a name.
    Pointer,
    /// `+=`, for words.
    Compound,
}

#[derive(Clone, Debug)]
pub enum Expr {
    /// The bits of a scalar; a float's number is the whole number that the bits are, signed.
    Lit(Scalar, u32),
    Id(Id),
    Param(usize),
    Var(u32, Scalar),
    Un(Un, Box<Expr>),
    Bin(Bin, Box<Expr>, Box<Expr>),
    /// Condition, then, else.
    Select(Box<Expr>, Box<Expr>, Box<Expr>),
    Cast(Scalar, Box<Expr>),
    /// A scalar of storage.
    Load(Place),
    /// A vector of storage, folded to a word.
    Fold(Place, Ty),
    Length(usize),
    Call(usize, Vec<Expr>),
}

/// Numbers that an invocation knows itself by: words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// Its own, over the whole grid.
    Invocation,
    /// Its own in the workgroup.
    Lane,
    /// Its workgroup's.
    Group,
    /// Components of the global id.
    X,
    Y,
    /// Workgroups in the first dimension.
    Groups,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Un {
    Neg,
    Not,
    Abs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bin {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    And,
    Or,
    Xor,
    Shl,
    Shr,
    Min,
    Max,
    Eq,
    Ne,
    Lt,
    Le,
}

impl Bin {
    pub fn compares(self) -> bool {
        matches!(self, Self::Eq | Self::Ne | Self::Lt | Self::Le)
    }
}

/// Something in a buffer.
#[derive(Clone, Debug)]
pub struct Place {
    pub buffer: usize,
    pub index: Index,
    /// From the element inwards.
    pub steps: Vec<Step>,
    /// What is there, when it is a scalar (a word, for what is copied or folded).
    pub scalar: Scalar,
}

/// Which element.
#[derive(Clone, Debug)]
pub enum Index {
    /// A word of the header.
    Header(u32),
    /// Any element of data; whether the index is signed.
    Any(Box<Expr>, bool),
    /// One of the invocation's own, modulo how many it has.
    Own(Box<Expr>),
}

#[derive(Clone, Debug)]
pub enum Step {
    Member(u32),
    At(u32),
    Dyn(Expr),
}

impl Expr {
    pub fn word(value: u32) -> Self {
        Self::Lit(Scalar::U32, value)
    }

    pub fn scalar(&self) -> Scalar {
        match self {
            Self::Lit(s, _) | Self::Var(_, s) | Self::Cast(s, _) => *s,
            Self::Id(_) | Self::Param(_) | Self::Fold(..) | Self::Length(_) | Self::Call(..) => {
                Scalar::U32
            }
            Self::Un(_, e) | Self::Select(_, e, _) => e.scalar(),
            Self::Bin(op, ..) if op.compares() => Scalar::Bool,
            Self::Bin(_, a, _) => a.scalar(),
            Self::Load(place) => place.scalar,
        }
    }

    /// How many bits the largest absolute value of a float has: as long as it is at most 24, arithmetic is exact.
    pub fn bits(&self) -> u32 {
        match self {
            Self::Lit(Scalar::F32, v) => 32 - v.cast_signed().unsigned_abs().leading_zeros(),
            Self::Un(_, e) => e.bits(),
            Self::Bin(Bin::Mul, a, b) => a.bits() + b.bits(),
            Self::Bin(Bin::Add | Bin::Sub, a, b) => a.bits().max(b.bits()) + 1,
            Self::Bin(_, a, b) | Self::Select(_, a, b) => a.bits().max(b.bits()),
            // What is stored, converted or kept in a variable has been confined before.
            _ => 8,
        }
    }
}
