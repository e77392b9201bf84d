//! What cloud-init keeps of a seed with secrets, taken out of the guest before anything of its disk is kept.
//!
//! cloud-init writes user data, and what it makes of it, below `/var/lib/cloud`, and does so at each boot with the disc. What
//! it remembers of having run stays: the machine is no new one to it afterwards. What user data has it put elsewhere (files,
//! users, scripts for each boot) is what was asked for, and stays as well.

use imgc_backend::{BackendError, Cx, Exec, Exit, Program, Stream};

use crate::failure::Tail;
use crate::link::Link;
use crate::ship::by_root;

/// cloud-init says by a file that it is done; `status --wait` of older ones ends at the first error, while later stages are
/// yet to run. Where no generator of systemd said that cloud-init is to run, it is asked all the same.
///
/// Files are overwritten first, for file systems that give nothing back; then removed, and all free blocks given back, since
/// cloud-init writes some files more than once, and blocks that it freed still hold what was in them.
const SCRUB: &str = r#"
if command -v cloud-init >/dev/null 2>&1; then
  if [ -e /run/cloud-init/enabled ]; then
    until [ -e /run/cloud-init/result.json ] || systemctl is-failed -q cloud-final.service 2>/dev/null; do sleep 1; done
  else
    cloud-init status --wait >/dev/null 2>&1
  fi
fi
instances=/var/lib/cloud/instances
logs="/var/log/cloud-init.log /var/log/cloud-init-output.log"
files() {
  if [ -d "$instances" ]; then
    find "$instances" -type f ! -path '*/sem/*' ! -name boot-finished ! -name datasource "$@"
  fi
}
zero='for file; do size=$(wc -c <"$file") && head -c "$size" /dev/zero 1<>"$file" || exit 1; done'
files -exec sh -c "$zero" zero '{}' + || exit 3
for log in $logs; do
  if [ -f "$log" ]; then sh -c "$zero" zero "$log" || exit 3; fi
done
sync
files -exec rm -f '{}' + || exit 3
for log in $logs; do
  if [ -f "$log" ]; then : >"$log"; fi
done
rm -f /run/cloud-init/instance-data-sensitive.json /run/cloud-init/combined-cloud-config.json
sync
for place in / /var/lib/cloud /var/log /var/tmp /tmp; do
  if [ -d "$place" ]; then fstrim "$place" 2>/dev/null; fi
done
exit 0
"#;

/// Waits until cloud-init is done with this boot, and removes what it keeps of the seed; once a boot.
///
/// # Errors
/// It could not be removed, or cloud-init is not done in time: then nothing of the disk may be kept.
pub(crate) async fn scrub(link: &mut Link, cx: &Cx) -> Result<(), BackendError> {
    if !link.just_booted {
        return Ok(());
    }
    let program = Program::Script { interpreter: vec!["/bin/sh".to_owned()], text: SCRUB.to_owned() };
    let exec = Exec { timeout: Some(link.patience()), ..by_root(program) };
    let said = Tail::default();
    let output = |_: Stream, bytes: &[u8]| said.add(bytes);
    let unclean = |how: String| BackendError::Environment {
        message: format!("what cloud-init keeps of the seed's secrets could not be removed from the guest: {how}"),
        help: Some(
            "nothing of its disk is kept. `cloud-init status --long` in the guest tells what cloud-init waits for; \
             `login.timeout` is how long it may take"
                .to_owned(),
        ),
    };
    match link.ask(&exec, &output, cx).await {
        Ok(Exit::Code(0)) => {
            link.just_booted = false;
            Ok(())
        }
        Ok(how @ (Exit::Code(_) | Exit::Signal(_))) => Err(unclean(format!("{how}: {}", said.text().trim()))),
        Err(BackendError::TimedOut { after, .. }) => {
            Err(unclean(format!("cloud-init was not done within {} s", after.as_secs())))
        }
        Err(error) => Err(error),
    }
}
