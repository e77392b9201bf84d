#!/bin/sh
# Unpacks packages of a suite of Debian's archive into a folder, for tests: `scripts/unpack.sh SUITE FOLDER PACKAGE…`.
# Nothing is installed, and what they depend on is not looked at. A folder that is there is left as it is.
set -eu

suite=${1:?usage: scripts/unpack.sh SUITE FOLDER PACKAGE…} to=${2:?a folder}
shift 2
[ -d "$to" ] && exit 0

mkdir -p "$(dirname "$to")"
scratch=$(mktemp -d "$to.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
mkdir -p state/lists/partial cache/archives/partial debs unpacked

# The archive that this machine takes its own packages from.
# shellcheck disable=SC2016 # apt fills it in
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep '/debian/*$' | head -n 1)
signed=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$signed] ${mirror:-http://deb.debian.org/debian} $suite main" >sources.list
: >status
cat >apt.conf <<EOF
Dir::Etc::sourcelist "$scratch/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "$scratch/state";
Dir::State::status "$scratch/status";
Dir::Cache "$scratch/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
EOF
export APT_CONFIG="$scratch/apt.conf"
apt-get update -qq
(cd debs && apt-get download -qq "$@")
for deb in debs/*.deb; do dpkg -x "$deb" unpacked; done
chmod -R a+rX unpacked
# Who came second has nothing to do any more.
mv -T unpacked "$to" 2>/dev/null || [ -d "$to" ]
