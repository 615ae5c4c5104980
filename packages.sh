#!/bin/sh
# Installs the named Debian packages that are missing, without starting their services. A name with a ? before it is taken only where this
# release has it.
set -eu
has_lists() { ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; }
installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

missing=""
for package in "$@"; do
	installed "${package#\?}" || missing="$missing $package"
done
# Tests look kernels up in apt's lists, so those are wanted even where nothing is missing.
[ -n "$missing" ] || has_lists || missing=" "
[ -n "$missing" ] || exit 0

apt-get update -qq
wanted=""
for package in $missing; do
	case $package in
	\?*) apt-cache show "${package#\?}" >/dev/null 2>&1 && wanted="$wanted ${package#\?}" || true ;;
	*) wanted="$wanted $package" ;;
	esac
done
[ -n "$wanted" ] || exit 0
echo "installing:$wanted"
export DEBIAN_FRONTEND=noninteractive
# A policy-rc.d of our own, where there is none: tests start the daemons that they need themselves.
if [ ! -e /usr/sbin/policy-rc.d ]; then
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $wanted
