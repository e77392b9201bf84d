//! A guest whose start stands still before its system runs, as emulated firmware does once in many: it is reset, and again
//! where that did not help.

use crate::bed::must;
use crate::guests::{Place, said, skipped, text, vm};
use crate::resuming::unlike_any_other;

/// The boot loader waits for ever at the next two starts, and only at those.
const HANGS_TWICE: &str = r#"
image hangs {
  from = vm
  sh "plan" {
    script = """
      : RUN
      mkdir -p /run/esp
      mount /dev/disk/by-partlabel/ESP /run/esp || mount /dev/vda1 /run/esp
      for config in /run/esp/EFI/*/grub.cfg; do
        dir=$(dirname "$config")
        { printf '# GRUB Environment Block\nhang=2\n'; head -c 1024 /dev/zero | tr '\0' '#'; } | head -c 1024 >"$dir/grubenv"
        {
          echo 'load_env -f $prefix/grubenv'
          echo 'if [ "$hang" = 1 -o "$hang" = 2 ]; then'
          echo '  if [ "$hang" = 2 ]; then set hang=1; else set hang=0; fi'
          echo '  save_env -f $prefix/grubenv hang'
          echo '  sleep 100000'
          echo 'fi'
          cat "$config"
        } >/run/config
        cat /run/config >"$config"
      done
      umount /run/esp
      """
    network = false
  }
  restart "hangs" {}
  sh "after" {
    script = """
      mount /dev/disk/by-partlabel/ESP /mnt || mount /dev/vda1 /mnt
      echo hang-after=$(cat /mnt/EFI/*/grubenv | grep -a -o -m1 'hang=.')
      umount /mnt
      """
    network = false
  }
}
output hung = hangs
"#;

#[test]
#[ignore = "waits for a guest that stands still: make test-long"]
fn machine_a_start_that_stands_still_is_reset() {
    if skipped() {
        return;
    }
    let place = Place::new(&format!("{}{}", vm(), HANGS_TWICE.replace("RUN", &unlike_any_other())));
    let output = place.try_apply(&[]);
    let all = text(&output);
    assert!(output.status.success(), "{all}");
    assert_eq!(all.matches("the guest hung while it started, and was reset").count(), 2, "{all}");
    assert_eq!(said(&all, "hang-after="), "hang=0", "the loader stood still, twice");
    assert!(place.running().is_empty(), "a guest is left");
    must(&mut place.bed.imgc(&["clean"]));
}
