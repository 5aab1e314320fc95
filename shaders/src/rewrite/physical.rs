//! The rewritten module's own globals, and the ways to a word of a window.
//!
//! Group 0 holds the parameters, the table, the report and the views of the windows; a view is an `array<T>` over the
//! whole of a window, one global for each pair of element type and window that is used. Where a window is known only
//! when the kernel runs, small functions switch over all of them.

use std::collections::{BTreeMap, HashMap};

use naga::{
    AddressSpace, ArraySize, AtomicFunction, Expression, Function, GlobalVariable, Handle, Literal,
    MemoryDecorations, Module, PredeclaredType, ResourceBinding, Scalar, ScalarKind, Span,
    Statement, StorageAccess, Type, TypeInner, VectorSize,
};

use super::build::{Builder, Value};
use super::helpers::Helper;
use super::view::View;
use crate::{ENTRY_WINDOW_SHIFT, Params, Slot, SlotKind, Variant};

/// Which window an address is in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Window {
    Known(u32),
    /// The number, an expression.
    Found(Value),
}

/// The variables of a uniform exit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    /// Private: the invocation's number in its workgroup, which the wrapper stores.
    pub(super) lane: Handle<GlobalVariable>,
    /// In workgroup memory: what the first invocation saw.
    pub(super) seen: Handle<GlobalVariable>,
}

/// The module being written and what it needs besides the user's.
pub(super) struct Physical {
    pub(super) module: Module,
    pub(super) boolean: Handle<Type>,
    pub(super) word: Handle<Type>,
    pub(super) params: Handle<GlobalVariable>,
    pub(super) table: Handle<GlobalVariable>,
    pub(super) report: Handle<GlobalVariable>,
    /// A private flag: in a run, an access left its confinement; in a probe, the lane stopped. A checked run has none.
    pub(super) flag: Handle<GlobalVariable>,
    /// Private: rounds that the invocation of a checked run has gone on for after a page was missed.
    rounds: Option<Handle<GlobalVariable>>,
    /// What a checked run leaves loops with barriers by, once one does.
    pub(super) exit: Option<Exit>,
    page_shift: u32,
    pub(super) windows: u32,
    writable: Vec<bool>,
    views: BTreeMap<(View, u32), Handle<GlobalVariable>>,
    kinds: HashMap<Handle<GlobalVariable>, Slot>,
    pub(super) helpers: HashMap<Helper, Handle<Function>>,
}

impl Physical {
    /// `module` holds what is kept of the user's, `writes` says which storage bindings are written.
    pub(super) fn new(mut module: Module, variant: &Variant, writes: &[bool]) -> Self {
        let word = insert(&mut module, TypeInner::Scalar(Scalar::U32));
        let boolean = insert(&mut module, TypeInner::Scalar(Scalar::BOOL));
        let atomic = insert(&mut module, TypeInner::Atomic(Scalar::U32));
        let quad = insert(&mut module, vector(VectorSize::Quad, ScalarKind::Uint));
        let words = runtime(&mut module, word, 4);
        let atomics = runtime(&mut module, atomic, 4);
        let params_type = insert(
            &mut module,
            TypeInner::Array {
                base: quad,
                size: std::num::NonZeroU32::new(Params::vectors(variant.bindings.len()))
                    .map_or(ArraySize::Dynamic, ArraySize::Constant),
                stride: 16,
            },
        );
        let mut kinds = HashMap::new();
        let mut bound = |module: &mut Module, name: &str, binding, space, ty, kind| {
            let handle = module.global_variables.append(
                GlobalVariable {
                    name: Some(name.to_owned()),
                    space,
                    binding: Some(ResourceBinding { group: 0, binding }),
                    ty,
                    init: None,
                    memory_decorations: MemoryDecorations::empty(),
                },
                Span::UNDEFINED,
            );
            kinds.insert(handle, Slot { binding, kind });
            handle
        };
        let params = bound(
            &mut module,
            "gmem_params",
            0,
            AddressSpace::Uniform,
            params_type,
            SlotKind::Params,
        );
        let table = bound(
            &mut module,
            "gmem_table",
            1,
            storage(false),
            words,
            SlotKind::Table,
        );
        let report = bound(
            &mut module,
            "gmem_report",
            2,
            storage(true),
            atomics,
            SlotKind::Report,
        );
        let no = module
            .global_expressions
            .append(Expression::Literal(Literal::Bool(false)), Span::UNDEFINED);
        let flag = module.global_variables.append(
            GlobalVariable {
                name: Some("gmem_flag".to_owned()),
                space: AddressSpace::Private,
                binding: None,
                ty: boolean,
                init: Some(no),
                memory_decorations: MemoryDecorations::empty(),
            },
            Span::UNDEFINED,
        );
        let mut writable = vec![false; variant.windows as usize];
        if variant.mode.has_effects() {
            for (how, _) in variant.bindings.iter().zip(writes).filter(|(_, w)| **w) {
                match how.window() {
                    Some(window) => writable[window as usize] = true,
                    None => writable.fill(true),
                }
            }
        }
        Self {
            module,
            boolean,
            word,
            params,
            table,
            report,
            flag,
            rounds: None,
            exit: None,
            page_shift: variant.page_shift,
            windows: variant.windows,
            writable,
            views: BTreeMap::new(),
            kinds,
            helpers: HashMap::new(),
        }
    }

    /// Interns an anonymous type.
    pub(super) fn ty(&mut self, inner: TypeInner) -> Handle<Type> {
        insert(&mut self.module, inner)
    }

    pub(super) fn vector(&mut self, size: VectorSize, kind: ScalarKind) -> Handle<Type> {
        self.ty(vector(size, kind))
    }

    /// The slot of a global of group 0.
    pub(super) fn slot(&self, global: Handle<GlobalVariable>) -> Option<Slot> {
        self.kinds.get(&global).copied()
    }

    /// log2 of the words of a page.
    pub(super) fn page_word_shift(&self) -> u32 {
        self.page_shift - 2
    }

    /// The counter of rounds, made when it is first asked for.
    pub(super) fn rounds(&mut self) -> Handle<GlobalVariable> {
        if let Some(rounds) = self.rounds {
            return rounds;
        }
        let none = self
            .module
            .global_expressions
            .append(Expression::Literal(Literal::U32(0)), Span::UNDEFINED);
        let rounds = self.module.global_variables.append(
            GlobalVariable {
                name: Some("gmem_rounds".to_owned()),
                space: AddressSpace::Private,
                binding: None,
                ty: self.word,
                init: Some(none),
                memory_decorations: MemoryDecorations::empty(),
            },
            Span::UNDEFINED,
        );
        self.rounds = Some(rounds);
        rounds
    }

    /// The variables of uniform exits, made when they are first asked for.
    pub(super) fn exit(&mut self) -> Exit {
        if let Some(exit) = self.exit {
            return exit;
        }
        let mut word = |name: &str, space| {
            self.module.global_variables.append(
                GlobalVariable {
                    name: Some(name.to_owned()),
                    space,
                    binding: None,
                    ty: self.word,
                    init: None,
                    memory_decorations: MemoryDecorations::empty(),
                },
                Span::UNDEFINED,
            )
        };
        let exit = Exit {
            lane: word("gmem_lane", AddressSpace::Private),
            seen: word("gmem_seen", AddressSpace::WorkGroup),
        };
        self.exit = Some(exit);
        exit
    }

    /// A vector of the parameter block.
    pub(super) fn param(&self, b: &mut Builder, index: u32) -> Value {
        let params = b.global(self.params);
        let pointer = b.component(params, index);
        b.load(pointer)
    }

    /// A pointer to an element of a runtime-sized global.
    pub(super) fn element(
        &self,
        b: &mut Builder,
        global: Handle<GlobalVariable>,
        index: Value,
    ) -> Value {
        let base = b.global(global);
        b.emit(Expression::Access { base, index })
    }

    /// The window of a table entry.
    pub(super) fn window_of(&self, b: &mut Builder, entry: Value) -> Window {
        if self.windows == 1 {
            return Window::Known(0);
        }
        let shifted = b.shift_right(entry, ENTRY_WINDOW_SHIFT);
        Window::Found(b.mask(shifted, 255))
    }

    pub(super) fn view(&mut self, view: View, window: u32) -> Handle<GlobalVariable> {
        if let Some(&global) = self.views.get(&(view, window)) {
            return global;
        }
        let element = self.view_type(view);
        let ty = runtime(&mut self.module, element, view.bytes());
        let binding = 3 + self.views.len() as u32;
        let write = self.writable[window as usize];
        let global = self.module.global_variables.append(
            GlobalVariable {
                name: Some(format!("gmem_{}_{window}", view.name())),
                space: storage(write),
                binding: Some(ResourceBinding { group: 0, binding }),
                ty,
                init: None,
                memory_decorations: MemoryDecorations::empty(),
            },
            Span::UNDEFINED,
        );
        let kind = SlotKind::Window { window, write };
        self.kinds.insert(global, Slot { binding, kind });
        self.views.insert((view, window), global);
        global
    }

    fn view_type(&mut self, view: View) -> Handle<Type> {
        self.ty(match (view.size, view.atomic) {
            (None, true) => TypeInner::Atomic(view.scalar),
            (None, false) => TypeInner::Scalar(view.scalar),
            (Some(size), _) => TypeInner::Vector {
                size,
                scalar: view.scalar,
            },
        })
    }

    /// The type of a view's elements once loaded.
    pub(super) fn value_type(&mut self, view: View) -> Handle<Type> {
        self.view_type(View {
            atomic: false,
            ..view
        })
    }

    /// Loads an element of a window.
    pub(super) fn read(
        &mut self,
        b: &mut Builder,
        view: View,
        window: Window,
        unit: Value,
    ) -> Value {
        match window {
            Window::Known(window) => {
                let global = self.view(view, window);
                let pointer = self.element(b, global, unit);
                b.load(pointer)
            }
            Window::Found(window) => {
                let helper = self.helper(Helper::Read(view));
                call(b, helper, vec![window, unit], true).unwrap_or(unit)
            }
        }
    }

    /// Stores an element of a window.
    pub(super) fn write(
        &mut self,
        b: &mut Builder,
        view: View,
        window: Window,
        unit: Value,
        value: Value,
    ) {
        match window {
            Window::Known(window) => {
                let global = self.view(view, window);
                let pointer = self.element(b, global, unit);
                b.store(pointer, value);
            }
            Window::Found(window) => {
                let helper = self.helper(Helper::Write(view));
                call(b, helper, vec![window, unit, value], false);
            }
        }
    }

    /// An atomic operation on an element of a window. `fun` compares with `compare`, whatever handle it holds itself.
    #[allow(clippy::too_many_arguments)] // The parts of one IR statement and where it goes.
    pub(super) fn atomic(
        &mut self,
        b: &mut Builder,
        view: View,
        window: Window,
        unit: Value,
        fun: AtomicFunction,
        value: Value,
        compare: Option<Value>,
        used: bool,
    ) -> Option<Value> {
        let fun = plain(fun);
        match window {
            Window::Known(window) => {
                let global = self.view(view, window);
                let pointer = self.element(b, global, unit);
                self.atomic_at(b, view, pointer, fun, value, compare, used)
            }
            Window::Found(window) => {
                let helper = self.helper(Helper::Atomic(view, fun, compare.is_some(), used));
                let mut arguments = vec![window, unit, value];
                arguments.extend(compare);
                call(b, helper, arguments, used)
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn atomic_at(
        &mut self,
        b: &mut Builder,
        view: View,
        pointer: Value,
        fun: AtomicFunction,
        value: Value,
        compare: Option<Value>,
        used: bool,
    ) -> Option<Value> {
        let fun = match fun {
            AtomicFunction::Exchange { .. } => AtomicFunction::Exchange { compare },
            other => other,
        };
        // A comparison always has a result in the IR.
        let used = used || compare.is_some();
        let result = used.then(|| {
            let ty = self.result_type(view, compare.is_some());
            b.declare(Expression::AtomicResult {
                ty,
                comparison: compare.is_some(),
            })
        });
        b.statement(Statement::Atomic {
            pointer,
            fun,
            value,
            result,
        });
        result
    }

    pub(super) fn result_type(&mut self, view: View, compares: bool) -> Handle<Type> {
        if compares {
            let result = PredeclaredType::AtomicCompareExchangeWeakResult(view.scalar);
            self.module.generate_predeclared_type(result)
        } else {
            self.value_type(view)
        }
    }

    /// Marks page `page` (counted from the binding's first) in the touch bits that begin at word `base` of the record,
    /// when `condition` holds.
    pub(super) fn touch(
        &mut self,
        b: &mut Builder,
        condition: Value,
        base: Value,
        page: Value,
        store: bool,
    ) {
        let helper = self.helper(Helper::Touch);
        let bit = b.word(u32::from(store));
        call(b, helper, vec![condition, base, page, bit], false);
    }
}

/// Calls a function; gives its result if it has one.
pub(super) fn call(
    b: &mut Builder,
    function: Handle<Function>,
    arguments: Vec<Value>,
    returns: bool,
) -> Option<Value> {
    let result = returns.then(|| b.declare(Expression::CallResult(function)));
    b.statement(Statement::Call {
        function,
        arguments,
        result,
    });
    result
}

fn plain(fun: AtomicFunction) -> AtomicFunction {
    match fun {
        AtomicFunction::Exchange { .. } => AtomicFunction::Exchange { compare: None },
        other => other,
    }
}

fn insert(module: &mut Module, inner: TypeInner) -> Handle<Type> {
    module
        .types
        .insert(Type { name: None, inner }, Span::UNDEFINED)
}

fn runtime(module: &mut Module, base: Handle<Type>, stride: u32) -> Handle<Type> {
    insert(
        module,
        TypeInner::Array {
            base,
            size: ArraySize::Dynamic,
            stride,
        },
    )
}

fn vector(size: VectorSize, kind: ScalarKind) -> TypeInner {
    TypeInner::Vector {
        size,
        scalar: Scalar { kind, width: 4 },
    }
}

fn storage(write: bool) -> AddressSpace {
    AddressSpace::Storage {
        access: if write {
            StorageAccess::LOAD | StorageAccess::STORE
        } else {
            StorageAccess::LOAD
        },
    }
}
