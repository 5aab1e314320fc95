//! A kernel with its data and what should come out: a job, and the same job on gmem.

use gmem::{Gmem, Kernel, Vector};

use crate::cli::Failure;

/// One storage binding of a job.
#[derive(Debug, Clone)]
pub struct Memory {
    /// The variable's name in the WGSL.
    pub name: &'static str,
    /// Its contents before a launch, the size being a multiple of 4.
    pub before: Vec<u8>,
    /// Its contents after one launch, computed on the CPU by other means, where the kernel writes it.
    pub after: Option<Vec<u8>>,
    /// Whether a launch stores all of it and loads nothing: then it does not matter what it held before.
    pub overwritten: bool,
}

impl Memory {
    /// A binding that is only read.
    pub fn input<T: bytemuck::Pod>(name: &'static str, data: &[T]) -> Self {
        Self {
            name,
            before: bytemuck::cast_slice(data).to_vec(),
            after: None,
            overwritten: false,
        }
    }

    /// A binding that is written: what it holds before and after one launch.
    pub fn output<T: bytemuck::Pod>(name: &'static str, before: &[T], after: &[T]) -> Self {
        Self {
            name,
            before: bytemuck::cast_slice(before).to_vec(),
            after: Some(bytemuck::cast_slice(after).to_vec()),
            overwritten: false,
        }
    }

    /// A binding all of which a launch stores, loading nothing. It holds zeroes before.
    pub fn result<T: bytemuck::Pod>(name: &'static str, after: &[T]) -> Self {
        let after: &[u8] = bytemuck::cast_slice(after);
        Self {
            name,
            before: vec![0; after.len()],
            after: Some(after.to_vec()),
            overwritten: true,
        }
    }
}

/// A kernel, its data, and what it should make of them. Results are exact on every adapter: whole numbers, or floats whose
/// sums and products have no more digits than a float holds, whatever the order.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name in rows.
    pub name: &'static str,
    /// WGSL with one entry point.
    pub source: &'static str,
    /// Storage bindings, `@group(0)`, in the order of `@binding(0..)`.
    pub memory: Vec<Memory>,
    /// The uniform's name and bytes, at the binding after the last of `memory`, if there is one.
    pub uniform: Option<(&'static str, Vec<u8>)>,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Bytes that a launch has to load and store at least.
    pub traffic: u64,
}

impl Job {
    /// Bytes of all storage bindings.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.memory.iter().map(|m| m.before.len() as u64).sum()
    }

    /// Whether results (one for each binding, `None` where it was not asked for) are as they should be.
    #[must_use]
    pub fn right(&self, binding: usize, got: &[u8]) -> bool {
        (self.memory.get(binding)).is_some_and(|m| m.after.as_deref().unwrap_or(&m.before) == got)
    }
}

/// The sum of the 32-bit words of some memory: a way to read every byte of it.
#[must_use]
pub fn sum(bytes: &[u8]) -> u64 {
    let (words, rest): (&[[u8; 4]], &[u8]) = bytes.as_chunks();
    let whole: u64 = words
        .iter()
        .map(|w| u64::from(u32::from_le_bytes(*w)))
        .sum();
    rest.iter()
        .fold(whole, |sum, &byte| sum.wrapping_add(byte.into()))
}

/// A job with its data in an address space.
pub struct OnGmem<'a> {
    job: &'a Job,
    kernel: Kernel,
    vectors: Vec<Vector<u8>>,
}

impl<'a> OnGmem<'a> {
    /// Allocates the memory, fills it by plain stores, and compiles the kernel.
    ///
    /// # Errors
    /// When there is no room or the kernel is wrong.
    pub fn new(gm: &Gmem, job: &'a Job) -> Result<Self, Failure> {
        let kernel = gm.kernel(job.source)?;
        let mut vectors = Vec::with_capacity(job.memory.len());
        for memory in &job.memory {
            let mut vector = gm.alloc::<u8>(memory.before.len())?;
            vector.copy_from_slice(&memory.before);
            vectors.push(vector);
        }
        Ok(Self {
            job,
            kernel,
            vectors,
        })
    }

    /// The memory of each binding.
    pub fn vectors(&mut self) -> &mut [Vector<u8>] {
        &mut self.vectors
    }

    /// Writes the contents of before a launch again, by plain stores: afterwards the host alone holds what is written here.
    pub fn reset(&mut self) {
        for (vector, memory) in self.vectors.iter_mut().zip(&self.job.memory) {
            if memory.after.is_some() {
                vector.copy_from_slice(&memory.before);
            }
        }
    }

    /// Writes everything again, inputs too: afterwards nothing is on the device.
    pub fn reset_all(&mut self) {
        for (vector, memory) in self.vectors.iter_mut().zip(&self.job.memory) {
            vector.copy_from_slice(&memory.before);
        }
    }

    /// Writes everything again that a launch loads: afterwards the host alone holds it. What a launch overwrites stays as it is.
    pub fn refill(&mut self) {
        for (vector, memory) in self.vectors.iter_mut().zip(&self.job.memory) {
            if !memory.overwritten {
                vector.copy_from_slice(&memory.before);
            }
        }
    }

    /// Runs the kernel once, and waits. Gives its passes.
    ///
    /// # Errors
    /// What went wrong.
    pub fn launch(&mut self) -> Result<u64, Failure> {
        let mut launch = self.kernel.launch(self.job.grid);
        for (memory, vector) in self.job.memory.iter().zip(&mut self.vectors) {
            launch = if memory.after.is_some() {
                launch.bind(memory.name, vector)
            } else {
                launch.bind(memory.name, &*vector)
            };
        }
        if let Some((name, bytes)) = &self.job.uniform {
            launch = launch.uniform_bytes(name, bytes);
        }
        Ok(launch.run()?.passes)
    }

    /// The sum of the words of all that a launch writes, as the CPU reads it.
    pub fn sum(&self) -> u64 {
        (self.vectors.iter().zip(&self.job.memory))
            .filter(|(_, memory)| memory.after.is_some())
            .fold(0, |total, (vector, _)| total.wrapping_add(sum(vector)))
    }

    /// Resets, launches once, and compares all that was written with what it should be.
    ///
    /// # Errors
    /// When the launch fails; a wrong result is no error.
    pub fn verify(&mut self) -> Result<bool, Failure> {
        self.reset();
        self.launch()?;
        Ok(self.right())
    }

    /// Whether the memory is as it should be after a launch.
    #[must_use]
    pub fn right(&self) -> bool {
        (0..self.vectors.len()).all(|i| self.job.right(i, &self.vectors[i]))
    }
}
