// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The real-time signals as Docker counts them, which is glibc's way: two below are its own.
const (
	firstRealTimeSignal = 34
	lastRealTimeSignal  = 64
)

// ParseSignal reads a signal as an image's STOPSIGNAL and --signal have it: a number, a name in any case with or without SIG, or RTMIN+N and
// RTMAX-N. option names the origin in the *UsageError.
func ParseSignal(option, text string) (unix.Signal, error) {
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	number, err := strconv.Atoi(text)
	if err != nil {
		number = int(unix.SignalNum("SIG" + name))
		if number == 0 {
			number = realTimeSignal(name)
		}
	}
	if number < 1 || number > lastRealTimeSignal {
		return 0, usage(option, "a number from 1 to 64 or a name such as TERM", "%.40q is not a signal", text)
	}
	return unix.Signal(number), nil
}

// realTimeSignal gives 0 for what is none.
func realTimeSignal(name string) int {
	number := 0
	if after, ok := strings.CutPrefix(name, "RTMIN"); ok {
		number = firstRealTimeSignal + distance(after, '+')
	} else if after, ok := strings.CutPrefix(name, "RTMAX"); ok {
		number = lastRealTimeSignal - distance(after, '-')
	}
	if number < firstRealTimeSignal || number > lastRealTimeSignal {
		return 0
	}
	return number
}

// distance reads "" as 0 and the sign with a number as that; anything else is farther than any signal.
func distance(text string, sign byte) int {
	const tooFar = 1000
	if text == "" {
		return 0
	}
	number, err := strconv.ParseUint(text[1:], 10, 8)
	if text[0] != sign || err != nil {
		return tooFar
	}
	return int(number)
}
