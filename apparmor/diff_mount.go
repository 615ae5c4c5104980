// SPDX-License-Identifier: Apache-2.0

package apparmor

// mountPart is where a string of the class mount is, and what of it decides how it may go on. It is packed into a part of a place.
type mountPart struct {
	stage           uint8
	source, typed   bool // the device and the type are not empty
	kind, last      uint8
	decidedA, other uint8 // behind the flags: what either side made of them
}

const (
	stagePoint  = iota // all that umount has
	stageSource        // the device, or the old root
	stageType
	stageFlags // which ascend
	stageData
)

// The kinds of mounts, as far as the flags show: apparmor_sb_mount asks for each with flags, device and type of its own.
const (
	mountNone       = iota // no flags yet
	mountOfFlags           // a new mount
	mountOfSilence         // of flags that a new mount and a change of propagation may have
	mountRemount           // with whatever flags; neither device nor type
	mountBind              // recursively or not, and of no type
	mountMove              // of no type
	mountPropagates        // neither device nor type
)

// What a side makes of the flags, where there is data.
const (
	dataWalks = iota // the data decides
	dataGrants
	dataRefuses
)

func (p mountPart) pack() uint16 {
	bit := map[bool]uint16{true: 1}
	if p.stage == stageData {
		p.kind, p.last = p.decidedA, p.other
	}
	return uint16(p.stage) | bit[p.source]<<3 | bit[p.typed]<<4 | uint16(p.kind)<<5 | uint16(p.last)<<8
}

func unpackMount(part uint16) mountPart {
	p := mountPart{stage: uint8(part & 7), source: part>>3&1 != 0, typed: part>>4&1 != 0, kind: uint8(part >> 5 & 7), last: uint8(part >> 8)}
	if p.stage == stageData {
		p.decidedA, p.other, p.kind, p.last = p.kind, p.last, 0, 0
	}
	return p
}

// decided says what the flags decided for a side, where there is data behind them.
func (p mountPart) decided(second bool) uint8 {
	switch {
	case p.stage != stageData:
		return dataWalks
	case second:
		return p.other
	}
	return p.decidedA
}

func dataKind(p permissions) uint8 {
	switch allow := p.allow &^ p.deny; {
	case allow&mountMount != 0:
		return dataGrants
	case allow&mountContinue != 0:
		return dataWalks
	}
	return dataRefuses
}

// next is the part after a byte.
func (p mountPart) next(b byte, look func() (a, b permissions)) (next mountPart, ever bool) {
	switch {
	case p.stage < stageFlags && b == 0:
		p.stage++
	case p.stage == stageSource:
		p.source = true
	case p.stage == stageType:
		p.typed = true
	case p.stage == stageData:
		return p, b != 0
	case p.stage == stageFlags && b == 0:
		// The kernel asks for data of new mounts and remounts, if the flags alone do not grant them and say that data might.
		x, y := look()
		p = mountPart{stage: stageData, source: p.source, typed: p.typed, kind: p.kind, decidedA: dataKind(x), other: dataKind(y)}
		ever = (p.kind <= mountOfSilence || p.kind == mountRemount && !p.source && !p.typed) && (p.decidedA == dataWalks || p.other == dataWalks)
		return p, ever
	case p.stage == stageFlags:
		if b <= p.last || b > 32 || p.last >= 32 {
			return p, false
		}
		p.last = b
		p.kind, ever = mountKind(p.kind, 1<<(b-1))
		return p, ever
	}
	return p, true
}

// mountKind is the kind of a mount with one more flag, higher than those before.
func mountKind(kind uint8, flag uint32) (next uint8, ever bool) {
	// apparmor_sb_mount drops the flags of the kernel's own, and path_mount refuses MS_NOUSER before.
	const ignored, silence = 1<<22 | 1<<28 | 1<<29 | 1<<30 | 1<<31, flagRecursive | 1<<15
	switch {
	case flag&ignored != 0:
		return kind, false
	case kind == mountRemount || flag == flagRemount && kind <= mountOfFlags:
		return mountRemount, true
	case kind == mountBind:
		return kind, flag == flagRecursive
	case kind == mountMove:
		return kind, false
	case kind == mountPropagates:
		return kind, flag&flagsPropagation != 0
	case flag&flagsPropagation != 0:
		return mountPropagates, kind != mountOfFlags
	case flag == flagBind:
		return mountBind, kind == mountNone
	case flag == flagMove:
		return mountMove, kind == mountNone
	case flag&silence != 0 && kind != mountOfFlags:
		return mountOfSilence, true
	}
	return mountOfFlags, true
}

// asked are the permissions that the kernel asks for in a part.
func (p mountPart) asked() uint32 {
	switch p.stage {
	case stagePoint:
		return mountUmount
	case stageSource:
		return mountPivotRoot
	case stageData:
		return mountMount
	case stageFlags:
		switch p.kind {
		case mountRemount, mountPropagates:
			if p.source || p.typed {
				return 0
			}
		case mountBind, mountMove:
			if !p.source || p.typed {
				return 0
			}
		}
		return mountMount
	}
	return 0
}
