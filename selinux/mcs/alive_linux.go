// SPDX-License-Identifier: Apache-2.0

package mcs

// Alive reports whether the container still exists: its record does, or its process runs. What cannot be found out is taken for alive.
// proc is where processes are looked up, "" for /proc.
func (h Holder) Alive(proc string) bool {
	if proc == "" {
		proc = "/proc"
	}
	return newWitness(proc).alive(h)
}

// State says what keeps a holder of the pair: "running", "stopped" (its record exists), "reserved", "labelled" (volumes of a container that is gone),
// "leaving" (nobody holds it, and the cluster is still to be told), or "gone". What cannot be found out is taken for running.
func (h Holder) State(pair Pair, proc string) string {
	if proc == "" {
		proc = "/proc"
	}
	switch {
	case h.Leaving:
		return "leaving"
	case h.Reserved:
		return "reserved"
	case len(labelled(pair, h.Labelled)) > 0:
		return "labelled"
	case newWitness(proc).running(h):
		return "running"
	case recordExists(h.Record):
		return "stopped"
	}
	return "gone"
}
