#!/bin/sh
# Installs what is missing, from Debian's archive: `scripts/setup.sh demo`, `… test` or `… bench`.
# As root, or as a user who may use sudo. Prints nothing when nothing is missing.
set -eu

# program:package; the program is looked up in PATH and in the sbin folders, an absolute path is a file.
demo='cc:gcc /usr/include/stdio.h:libc6-dev mmdebstrap:mmdebstrap newuidmap:uidmap pasta:passt /usr/lib/grub/x86_64-efi/monolithic/grubx64.efi:grub-efi-amd64-bin ssh-keygen:openssh-client'
test="$demo qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils /usr/share/OVMF/OVMF_CODE.fd:ovmf swtpm:swtpm e2fsck:e2fsprogs fsck.fat:dosfstools
  mdir:mtools sgdisk:gdisk dockerd:docker.io podman:podman runc:runc skopeo:skopeo docker-registry:docker-registry
  /usr/bin/busybox:busybox-static setcap:libcap2-bin setfattr:attr setfacl:acl curl:curl ip:iproute2 iptables:iptables
  unshare:util-linux setpriv:util-linux dash:dash isoinfo:genisoimage /usr/sbin/sshd:openssh-server ssh-agent:openssh-client ninja:ninja-build dot:graphviz slirp4netns:slirp4netns python3:python3 shellcheck:shellcheck openssl:openssl
  node:nodejs npm:npm nvim:neovim sshfs:sshfs /usr/lib/openssh/sftp-server:openssh-sftp-server faketime:faketime ps:procps xz:xz-utils"

bench="$test packer:packer /usr/share/ovmf/OVMF.fd:ovmf"

case ${1:-} in
  demo) wanted=$demo ;;
  test) wanted=$test ;;
  bench) wanted=$bench ;;
  *) echo "usage: scripts/setup.sh demo|test|bench" >&2; exit 2 ;;
esac

PATH=$PATH:/usr/sbin:/sbin
missing=
for pair in $wanted; do
  program=${pair%%:*} package=${pair#*:}
  case $program in
    /*) [ -e "$program" ] || missing="$missing $package" ;;
    *) command -v "$program" >/dev/null 2>&1 || missing="$missing $package" ;;
  esac
done

root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if [ -n "$missing" ]; then
  command -v apt-get >/dev/null 2>&1 || { echo "missing:$missing. Install them with your package manager." >&2; exit 1; }
  echo "setup: installing$missing"
  root apt-get update -qq
  # Some machines carry a qemu-utils that is newer than Debian's qemu-system-x86 and breaks with it: take both from one version.
  case " $missing " in
    *" qemu-system-x86 "*)
      version=$(apt-cache policy qemu-system-x86 | sed -n 's/^ *Candidate: //p')
      missing="$missing qemu-system-x86=$version qemu-utils=$version"
      missing=$(printf '%s\n' $missing | grep -vx -e qemu-system-x86 -e qemu-utils | tr '\n' ' ') ;;
  esac
  # shellcheck disable=SC2086 # a list of packages
  root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --allow-downgrades $missing >/dev/null
fi

# Ordinary users with subordinate ids: what is built as root must be equal to what they build.
if [ "$1" != demo ]; then
  id imgc-test >/dev/null 2>&1 || root useradd --create-home --shell /bin/sh imgc-test
  first=1000000
  for user in imgc-test "$(id -un)"; do
    [ "$user" != root ] || continue
    for file in /etc/subuid /etc/subgid; do
      grep -q "^$user:" "$file" 2>/dev/null || echo "$user:$first:65536" | root tee -a "$file" >/dev/null
    done
    first=$((first + 65536))
  done
fi
