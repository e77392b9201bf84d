# What holds after each example of the standard library. $EXAMPLE is its name.
set -eu
has() { grep -qxF -e "$2" "$1" || { echo "$1 lacks: $2" >&2; cat "$1" >&2; exit 1; }; }
is_mode() { found=$(stat -c '%a %U:%G' "$1"); [ "$found" = "$2" ] || { echo "$1 is $found, not $2" >&2; exit 1; }; }
no() { if "$@" >/dev/null 2>&1; then echo "still true: $*" >&2; exit 1; fi; }

case $EXAMPLE in
  sh) has /etc/motd 'Hello from imgc' ;;
  copy) has /usr/local/share/notes f ;;
  write) has /etc/motd 'built by imgc'; is_mode /etc/motd '644 root:root' ;;

  apt.install) jq --version; command -v less ;;
  apt.remove) no command -v nano; no dpkg -s nano ;;
  apt.upgrade) no ls /var/lib/apt/lists/*InRelease ;;
  apt.repository)
    has /etc/apt/sources.list.d/backports.sources 'Suites: bookworm-backports'
    has /etc/apt/sources.list.d/backports.sources 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg'
    has /etc/apt/preferences.d/backports 'Pin: origin "deb.debian.org"'
    apt-cache policy >/dev/null ;;
  apt.pin) has /etc/apt/preferences.d/no-snapd 'Pin-Priority: -1'; apt-cache policy >/dev/null ;;
  apt.hold) apt-mark showhold | grep -qx jq ;;
  apt.answers) debconf-show man-db | grep -q 'man-db/auto-update: false' ;;
  apt.clean) no ls /var/lib/apt/lists/*InRelease ;;

  apk.install) has /apk.log 'add --no-cache --no-progress nginx openssh' ;;
  apk.remove) has /apk.log 'del --no-progress nginx' ;;
  apk.upgrade) has /apk.log 'upgrade --no-cache --no-progress' ;;
  apk.repository)
    has /etc/apk/repositories '@testing https://dl-cdn.alpinelinux.org/alpine/edge/testing'
    [ "$(wc -l </etc/apk/repositories)" = 1 ] ;;
  apk.clean) no ls /var/cache/apk/x ;;

  dnf.install) rpm -q hello; has /usr/share/hello/version 2 ;;
  dnf.remove) no rpm -q hello ;;
  dnf.upgrade) : ;;
  dnf.repository) dnf -q repolist --all | grep -q '^tools ' ;;
  dnf.clean) no ls /var/cache/dnf/* ;;

  files.template) has /etc/app.conf 'web listens on 8080' ;;
  files.text) has /etc/issue 'Welcome to web' ;;
  files.directory) is_mode /srv/app/data '750 daemon:daemon'; is_mode /srv/app '755 root:root' ;;
  files.symlink) [ "$(readlink /usr/local/bin/greet)" = /bin/echo ] ;;
  files.line) has /etc/login.defs 'UMASK 027'; [ "$(grep -c '^UMASK' /etc/login.defs)" = 1 ] ;;
  files.absent) no ls /etc/motd; no ls /var/tmp/left-over ;;
  files.download) [ -s /usr/local/share/licence ] ;;

  systemd.enable) [ "$(systemctl is-enabled systemd-networkd.service)" = enabled ] ;;
  systemd.disable) [ "$(systemctl is-enabled apt-daily.timer || true)" = disabled ] ;;
  systemd.mask) [ "$(systemctl is-enabled sleep.target || true)" = masked ] ;;
  systemd.default) [ "$(systemctl get-default)" = multi-user.target ] ;;
  systemd.service)
    [ "$(systemctl is-enabled hello.service)" = enabled ]
    systemd-analyze verify --man=no /etc/systemd/system/hello.service
    has /etc/systemd/system/hello.service 'ExecStart="/bin/echo" "100%% \"hello\" for $$5"' ;;
  systemd.timer)
    [ "$(systemctl is-enabled sweep.timer)" = enabled ]
    systemd-analyze verify --man=no /etc/systemd/system/sweep.timer /etc/systemd/system/sweep.service ;;
  systemd.unit) [ "$(systemctl is-enabled srv-data.mount)" = enabled ] ;;
  systemd.drop_in) has /etc/systemd/system/systemd-journald.service.d/limits.conf 'MemoryMax=64M' ;;

  net.dhcp) [ "$(systemctl is-enabled systemd-networkd.service)" = enabled ] ;;
  net.static)
    has /etc/systemd/network/50-eth1.network 'Address=192.0.2.10/24'
    has /etc/systemd/network/50-eth1.network 'Gateway=192.0.2.1' ;;
  # The builder lays a file of its own over it while steps run.
  net.hosts) : ;;

  ssh.host_keys) systemd-analyze verify --man=no ssh.service ;;
  ssh.authorized_key) [ "$(wc -l </root/.ssh/authorized_keys)" = 1 ]; is_mode /root/.ssh/authorized_keys '600 root:root' ;;
  ssh.authorized_keys) [ "$(wc -l </root/.ssh/authorized_keys)" = 2 ]; is_mode /root/.ssh '700 root:root' ;;
  ssh.harden)
    ssh-keygen -q -t ed25519 -N '' -f /run/key
    mkdir -p /run/sshd
    settings=$(/usr/sbin/sshd -T -h /run/key)
    for wanted in 'port 2222' 'permitrootlogin no' 'passwordauthentication no' 'allowusers ada' 'x11forwarding no'; do
      printf '%s\n' "$settings" | grep -qx "$wanted" || { echo "sshd lacks: $wanted" >&2; exit 1; }
    done ;;
  ssh.known_host) ssh-keygen -F git.example.org -f /etc/ssh/ssh_known_hosts >/dev/null ;;

  groups.add) [ "$(getent group deploy)" = deploy:x:2000: ] ;;
  groups.join) id -nG ada | grep -qw deploy; id -nG ada | grep -qw adm ;;
  groups.remove) no getent group old ;;
  users.add)
    [ "$(getent passwd ada)" = 'ada:x:2001:2001:Ada:/home/ada:/bin/bash' ]
    id -nG ada | grep -qw deploy
    [ "$(stat -c %U:%G /home/ada)" = ada:ada ]
    [ "$(id -u robot)" -lt 1000 ]
    no ls -d /home/robot ;;
  users.password) getent shadow ada | grep -q '^ada:\$6\$imgcimgc\$' ;;
  users.lock) [ "$(passwd -S root | cut -d' ' -f2)" = L ] ;;
  users.sudo) is_mode /etc/sudoers.d/ada '440 root:root'; has /etc/sudoers.d/ada 'ada ALL=(ALL:ALL) NOPASSWD: /usr/bin/systemctl restart nginx' ;;
  users.remove) no getent passwd guest; no ls -d /home/guest ;;

  hostname.set) has /etc/hostname web-1 ;;
  locale.set) has /etc/default/locale LANG=en_GB.UTF-8; locale -a | grep -qix en_GB.utf8; locale -a | grep -qix de_DE.utf8 ;;
  timezone.set) [ "$(date -d @0 +%Z)" = CET ]; has /etc/timezone Europe/Berlin ;;
  sysctl.set) has /etc/sysctl.d/60-imgc.conf 'net.ipv4.ip_forward = 1' ;;
  kernel.command_line)
    has /etc/kernel/cmdline 'quiet console=tty0 console=ttyS0,115200 mitigations=auto'
    sh -n /etc/default/grub.d/60-imgc.cfg ;;
  kernel.modules) has /etc/modules-load.d/imgc.conf br_netfilter ;;
  kernel.blacklist) has /etc/modprobe.d/imgc-blacklist.conf 'blacklist pcspkr' ;;

  cloud_init.sources) has /etc/cloud/cloud.cfg.d/90-imgc-sources.cfg 'datasource_list: ["NoCloud", "None"]' ;;
  cloud_init.no_cloud)
    head -n1 /var/lib/cloud/seed/nocloud/user-data | grep -qx '#cloud-config'
    grep -qF '"content": "say \"hi\"\n"' /var/lib/cloud/seed/nocloud/user-data
    grep -qF '"permissions": "0644"' /var/lib/cloud/seed/nocloud/user-data
    has /var/lib/cloud/seed/nocloud/meta-data '{"instance-id": "imgc", "local-hostname": "web"}'
    is_mode /var/lib/cloud/seed/nocloud/user-data '600 root:root' ;;
  cloud_init.settings) has /etc/cloud/cloud.cfg.d/95-no-network.cfg 'network: {config: disabled}' ;;
  cloud_init.disable) [ -e /etc/cloud/cloud-init.disabled ] ;;

  seal.image | seal.machine_id) [ -e /etc/machine-id ]; no test -s /etc/machine-id ;;
  seal.host_keys) no ls /etc/ssh/ssh_host_rsa_key ;;
  seal.logs) no sh -c 'find /var/log -type f -size +0 | grep .' ;;
  seal.packages) no ls /var/lib/apt/lists/*InRelease ;;
  seal.history) no ls /root/.bash_history ;;
  seal.cloud_init) no ls -d /var/lib/cloud ;;
  *) echo "no check for the example $EXAMPLE: add a case to tests/stdlib/checks.sh" >&2; exit 1 ;;
esac
