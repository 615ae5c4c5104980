// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"bytes"
	"strconv"
	"strings"
)

// The lines of ProbeFile. Taken is the host's, which appends it once it holds the listener: the program starts then.
const (
	refusedLine  = "refused\n"
	listenerWord = "listener "
	Taken        = "taken\n"
)

// Proof is what the program inside has told the host by ProbeFile.
type Proof struct {
	Refused  bool // the Landlock domain refuses a file outside it
	Listener int  // number of the descriptor, among those of the process, by which the filter's notifications are answered; -1: none yet
}

// ReadProof reads the content of ProbeFile as far as it is written.
func ReadProof(content []byte) Proof {
	proof := Proof{Listener: -1}
	for line := range strings.Lines(string(content)) {
		number, isListener := strings.CutPrefix(line, listenerWord)
		number, whole := strings.CutSuffix(number, "\n")
		switch {
		case line == refusedLine:
			proof.Refused = true
		case isListener && whole:
			if listener, err := strconv.ParseUint(number, 10, 31); err == nil {
				proof.Listener = int(listener)
			}
		}
	}
	return proof
}

func taken(content []byte) bool { return bytes.HasSuffix(content, []byte("\n"+Taken)) }
