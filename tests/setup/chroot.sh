#!/usr/bin/env bash
# Proves ./quickstart and ./check on a bare Debian 12: a fresh debootstrap, a clone of this
# checkout's HEAD in it, and nothing else. Needs root and a Debian mirror.
#
#   tests/setup/chroot.sh [quickstart|check|both]    (both)
#
# DATA=DIR binds DIR read-only beside the clone as ../shared, for the campaigns over real data.
set -euo pipefail
what=${1:-both}
top=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
[ "$(id -u)" = 0 ] || { echo "chroot.sh: needs root, skipped"; exit 77; }
command -v debootstrap >/dev/null ||
    apt-get install -y -qq --no-install-recommends debootstrap >/dev/null

root=$(mktemp -d "${TMPDIR:-/var/tmp}/flipsweep-chroot-XXXXXX")
cleanup() {
    for mount in home/shared dev proc sys; do
        if mountpoint -q "$root/$mount"; then umount -l -R "$root/$mount"; fi
    done
    rm -rf --one-file-system "$root"
}
trap cleanup EXIT

mirror=$(sed -n 's/^URIs: *//p;s/^deb \([^ ]*\) .*/\1/p' /etc/apt/sources.list.d/*.sources \
    /etc/apt/sources.list 2>/dev/null | grep -v security | head -n 1 || true)
debootstrap --variant=minbase --include=ca-certificates,git bookworm "$root" \
    ${mirror:+"$mirror"} >"$root.log" 2>&1 ||
    { tail -n 5 "$root.log" >&2; exit 1; }
rm -f "$root.log"
# This machine's way to its mirror is the chroot's.
cp -a /etc/apt/sources.list.d /etc/apt/apt.conf.d "$root/etc/apt/" 2>/dev/null || true
[ -z "$(ls "$root"/etc/apt/sources.list.d)" ] || rm -f "$root/etc/apt/sources.list"
rm -f "$root"/etc/apt/apt.conf.d/20packagekit "$root"/etc/apt/apt.conf.d/50appstream
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
if [ -e /root/.npmrc ]; then cp /root/.npmrc "$root/root/"; fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev" && mount --make-rslave "$root/dev"
mount -t sysfs sys "$root/sys"
if [ -n "${DATA:-}" ]; then
    mkdir -p "$root/home/shared"
    mount --bind -o ro "$DATA" "$root/home/shared"
fi

git clone -q "$top" "$root/home/flipsweep"
run() { chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    bash -c "cd /home/flipsweep && $1"; }
quickstart() {
    run ./quickstart
    [ -s "$root/home/flipsweep/build/quickstart/report.html" ] ||
        { echo "chroot.sh: quickstart left no report" >&2; exit 1; }
}
case "$what" in
quickstart) quickstart ;;
check) run ./check ;;
both) quickstart; run ./check ;;
*) echo "usage: chroot.sh [quickstart|check|both]" >&2; exit 2 ;;
esac
echo "chroot.sh: $what succeeded on a bare Debian 12"
