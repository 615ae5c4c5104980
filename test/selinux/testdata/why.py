# SPDX-License-Identifier: Apache-2.0
# Asks audit2why of libselinux: why.py POLICY. Each line of the input is SOURCE TARGET CLASS PERMISSION; each of the output the reason, and the booleans that would do.
import sys

from selinux import audit2why

reasons = {getattr(audit2why, name): name for name in dir(audit2why) if name.isupper()}
audit2why.init(sys.argv[1])
for line in sys.stdin:
    source, target, kind, permission = line.split()
    reason, data = audit2why.analyze(source, target, kind, [permission])
    booleans = sorted("%s=%s" % (name, "true" if value else "false") for name, value in data) if reasons[reason] == "BOOLEAN" else []
    print(reasons[reason], *booleans)
