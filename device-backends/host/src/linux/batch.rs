//! A batch of faults on its way to the sink, the same for both mechanisms.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gmem_hal::{Access, CpuFault, CpuFaultSink, Verdict};

/// Sorts faults and leaves one for each page: a store if any was.
pub(super) fn unique_by_page(faults: &mut Vec<CpuFault>, granule: u64) {
    let key = |fault: &CpuFault| {
        (
            fault.offset / granule,
            fault.access != Access::Write,
            fault.offset,
        )
    };
    faults.sort_unstable_by_key(key);
    faults.dedup_by_key(|fault| fault.offset / granule);
}

/// Asks the sink: afterwards there is one verdict for each fault.
///
/// A sink that panics, or says too little, has not served: the threads concerned fail, loudly, and do not wait for ever.
pub(super) fn ask(sink: &dyn CpuFaultSink, faults: &[CpuFault], verdicts: &mut Vec<Verdict>) {
    verdicts.clear();
    if !faults.is_empty()
        && catch_unwind(AssertUnwindSafe(|| sink.serve(faults, verdicts))).is_err()
    {
        verdicts.clear();
    }
    verdicts.resize(faults.len(), Verdict::Fail);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(offset: u64, access: Access) -> CpuFault {
        CpuFault { offset, access }
    }

    #[test]
    fn a_batch_is_unique_by_page_and_a_store_outweighs_a_load() {
        let mut faults = vec![
            fault(9000, Access::Read),
            fault(10, Access::Read),
            fault(8200, Access::Write),
            fault(20, Access::Read),
            fault(4096, Access::Write),
        ];
        unique_by_page(&mut faults, 4096);
        let expected = [
            fault(10, Access::Read),
            fault(4096, Access::Write),
            fault(8200, Access::Write),
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn faults_that_a_sink_leaves_without_a_verdict_fail() {
        struct Lazy;
        impl CpuFaultSink for Lazy {
            fn serve(&self, _: &[CpuFault], verdicts: &mut Vec<Verdict>) {
                verdicts.push(Verdict::Resume);
            }
        }
        let mut verdicts = Vec::new();
        ask(
            &Lazy,
            &[fault(0, Access::Read), fault(4096, Access::Read)],
            &mut verdicts,
        );
        assert_eq!(verdicts, [Verdict::Resume, Verdict::Fail]);
    }

    #[test]
    fn the_faults_of_a_sink_that_panics_fail() {
        struct Broken;
        impl CpuFaultSink for Broken {
            fn serve(&self, _: &[CpuFault], verdicts: &mut Vec<Verdict>) {
                verdicts.push(Verdict::Resume);
                panic!("as the test wants");
            }
        }
        let mut verdicts = Vec::new();
        ask(&Broken, &[fault(0, Access::Read)], &mut verdicts);
        assert_eq!(verdicts, [Verdict::Fail]);
    }
}
