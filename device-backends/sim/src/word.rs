//! The values that a simulated kernel loads and stores, little-endian as on every GPU.

mod sealed {
    pub trait Sealed {}
}

/// A number that fits one access: integers and floats of up to 64 bits.
pub trait Word: sealed::Sealed + Copy + Send + Sync + 'static {
    /// Bytes that it takes.
    const SIZE: usize;

    /// From its little-endian bytes, of which there are [`Word::SIZE`].
    fn from_bytes(bytes: &[u8]) -> Self;

    /// Writes its little-endian bytes, of which there are [`Word::SIZE`].
    fn to_bytes(self, bytes: &mut [u8]);
}

macro_rules! words {
    ($($t:ty),*) => {$(
        impl sealed::Sealed for $t {}
        impl Word for $t {
            const SIZE: usize = size_of::<$t>();

            fn from_bytes(bytes: &[u8]) -> Self {
                <$t>::from_le_bytes(bytes.try_into().expect("as many bytes as the word has"))
            }

            fn to_bytes(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

words!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);
