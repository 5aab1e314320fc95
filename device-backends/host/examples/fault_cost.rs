//! What one served fault costs, beside a bare userfaultfd handler. Run in release:
//! `cargo run --release -p gmem-host --example fault_cost`.

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("there is nothing to measure: faults are noticed on Linux only");
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::sync::{Arc, OnceLock, Weak};
    use std::time::Instant;

    use gmem_hal::{
        Access, ByteRange, CpuFault, CpuFaultSink, HostMechanism, HostMemory, Rights, Va, Verdict,
    };
    use gmem_host::bare::BareHandler;
    use gmem_host::{Choice, open};

    const PAGE: u64 = 64 << 10;
    const PAGES: u64 = 4096;

    /// Grants what is asked for and keeps no state: the least that a manager can do.
    struct Grant {
        host: OnceLock<Weak<dyn HostMemory>>,
    }

    impl CpuFaultSink for Grant {
        fn serve(&self, faults: &[CpuFault], verdicts: &mut Vec<Verdict>) {
            let host = self.host.get().and_then(Weak::upgrade);
            for fault in faults {
                let page = ByteRange::new(fault.offset & !(PAGE - 1), PAGE);
                let rights = match fault.access {
                    Access::Read => Rights::Read,
                    Access::Write => Rights::Write,
                };
                let granted = host
                    .as_ref()
                    .is_some_and(|host| host.set_rights(page, rights).is_ok());
                verdicts.push(if granted {
                    Verdict::Resume
                } else {
                    Verdict::Fail
                });
            }
        }
    }

    /// Touches every page once; prints the mean and the percentiles.
    fn touch(name: &str, base: Va, store: bool) {
        let mut took: Vec<f64> = (0..PAGES)
            .map(|page| {
                let at = (base.0 + page * PAGE + 128) as *mut u8;
                let began = Instant::now();
                // SAFETY: an address of memory that is served and lives longer than this.
                unsafe {
                    if store {
                        at.write_volatile(1);
                    } else {
                        at.read_volatile();
                    }
                }
                began.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        took.sort_by(f64::total_cmp);
        let at = |part: f64| took[(part * (took.len() - 1) as f64) as usize];
        let mean = took.iter().sum::<f64>() / took.len() as f64;
        println!(
            "{name:<44} mean {mean:6.1} us   median {:6.1}   p99 {:6.1}",
            at(0.5),
            at(0.99)
        );
    }

    pub(crate) fn main() {
        match BareHandler::new((PAGES * PAGE) as usize, PAGE as usize) {
            Ok(bare) => {
                for round in ["first", "again"] {
                    touch(&format!("bare: missing page, {round}"), bare.base(), true);
                    bare.forget().expect("pages can be dropped");
                }
            }
            Err(error) => println!("bare: {error}"),
        }
        for mechanism in [HostMechanism::Userfaultfd, HostMechanism::Mprotect] {
            let name = mechanism.name();
            let host = match open(PAGES * PAGE, Choice::Only(mechanism)) {
                Ok(opened) => opened.host,
                Err(error) => {
                    println!("{name}: {error}");
                    continue;
                }
            };
            let sink = Arc::new(Grant {
                host: OnceLock::new(),
            });
            let _ = sink.host.set(Arc::downgrade(&host));
            let whole = ByteRange::new(0, PAGES * PAGE);
            host.start(sink).expect("handlers start");
            host.commit(whole).expect("the range can be committed");
            touch(
                &format!("{name}: store, page without memory"),
                host.base(),
                true,
            );
            host.set_rights(whole, Rights::None)
                .expect("rights can be revoked");
            touch(
                &format!("{name}: store, page with memory"),
                host.base(),
                true,
            );
            host.set_rights(whole, Rights::None)
                .expect("rights can be revoked");
            touch(
                &format!("{name}: load, page with memory"),
                host.base(),
                false,
            );
            touch(
                &format!("{name}: store to a page that may be read"),
                host.base(),
                true,
            );
            let began = Instant::now();
            for page in 0..PAGES {
                host.set_rights(ByteRange::new(page * PAGE, PAGE), Rights::None)
                    .expect("rights can be revoked");
            }
            let each = began.elapsed().as_secs_f64() * 1e6 / PAGES as f64;
            println!(
                "{:<44} mean {each:6.1} us",
                format!("{name}: revoke a page")
            );
        }
    }
}
