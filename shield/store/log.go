// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	logHeader    = nonceSize + tagSize // in the clear
	logFields    = 16                  // sealed: group (8), number of the block in it, number of blocks, bytes used (2 each), zeros (2)
	logPayload   = BlockSize - logHeader - logFields
	maximumGroup = logBlocks * logPayload / 2 // bytes; what has grown larger is written by a checkpoint
)

// pending are the batches that no group of the log and no checkpoint has taken up.
type pending struct {
	batches [][]byte
	bytes   int
}

func (p *pending) add(encoded []byte) {
	p.bytes += len(encoded) + 5
	if p.bytes > maximumGroup {
		p.batches = nil // a checkpoint is needed anyway
		return
	}
	p.batches = append(p.batches, encoded)
}

// Items of a group, after a letter.
const (
	itemRuns   = 'A' // number (4), then address (8) and blocks (4) of each: data blocks that were written
	itemBlocks = 'V' // number (4), then file, index (8 each) and pointer of each: data blocks that were written with this group and must be there
	itemBatch  = 'B' // bytes (4), operations
)

func encodeGroup(runs []run, blocks []placed, batches [][]byte) []byte {
	var out []byte
	if len(runs) > 0 {
		out = binary.BigEndian.AppendUint32(append(out, itemRuns), uint32(len(runs)))
		for _, r := range runs {
			out = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(out, r.address), uint32(r.blocks))
		}
	}
	if len(blocks) > 0 {
		out = binary.BigEndian.AppendUint32(append(out, itemBlocks), uint32(len(blocks)))
		for _, b := range blocks {
			out = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(out, b.at.File), b.at.Index)
			out = append(out, b.pointer[:]...)
		}
	}
	for _, batch := range batches {
		out = append(binary.BigEndian.AppendUint32(append(out, itemBatch), uint32(len(batch))), batch...)
	}
	return out
}

// group is one group of the log, taken apart.
type group struct {
	runs    []run
	blocks  []placed
	batches [][]byte
}

func decodeGroup(b []byte) (g group, err error) {
	r := reader{rest: b}
	for len(r.rest) > 0 && r.err == nil {
		switch letter := r.take(1)[0]; letter {
		case itemRuns:
			for range r.number(12) {
				g.runs = append(g.runs, run{binary.BigEndian.Uint64(r.take(8)), int(binary.BigEndian.Uint32(r.take(4)))})
			}
		case itemBlocks:
			for range r.number(16 + len(Pointer{})) {
				at := Location{binary.BigEndian.Uint64(r.take(8)), binary.BigEndian.Uint64(r.take(8))}
				g.blocks = append(g.blocks, placed{at, Pointer(r.take(len(Pointer{})))})
			}
		case itemBatch:
			g.batches = append(g.batches, r.take(r.number(1)))
		default:
			return g, fmt.Errorf("item %#x", letter)
		}
	}
	return g, r.err
}

// number reads how many things of a size follow; there are never more than fit.
func (r *reader) number(size int) int {
	n := int(binary.BigEndian.Uint32(r.take(4)))
	if n > len(r.rest)/size {
		r.err, r.rest = errors.New("ends before its last item"), nil
		return 0
	}
	return n
}

// logBlock is one block of the log, opened.
type logBlock struct {
	group      uint64
	number, of int // of the group's blocks, from 0
	payload    []byte
}

func (k *keyring) sealLog(b box, epoch uint64, position int, root [16]byte, l logBlock, into []byte) {
	random(into[:nonceSize])
	plain := make([]byte, BlockSize-logHeader)
	binary.BigEndian.PutUint64(plain, l.group)
	binary.BigEndian.PutUint16(plain[8:], uint16(l.number))
	binary.BigEndian.PutUint16(plain[10:], uint16(l.of))
	binary.BigEndian.PutUint16(plain[12:], uint16(len(l.payload)))
	copy(plain[logFields:], l.payload)
	sealed := b.seal(make([]byte, 0, BlockSize), into[:nonceSize], plain, k.ofLogBlock(epoch, position, root))
	copy(into[logHeader:], sealed[:len(plain)])
	copy(into[nonceSize:logHeader], sealed[len(plain):])
}

func (k *keyring) openLog(b box, epoch uint64, position int, root [16]byte, block []byte) (logBlock, error) {
	sealed := append(append(make([]byte, 0, BlockSize), block[logHeader:]...), block[nonceSize:logHeader]...)
	plain, err := b.open(nil, block[:nonceSize], sealed, k.ofLogBlock(epoch, position, root))
	if err != nil {
		return logBlock{}, err
	}
	l := logBlock{group: binary.BigEndian.Uint64(plain), number: int(binary.BigEndian.Uint16(plain[8:])), of: int(binary.BigEndian.Uint16(plain[10:]))}
	used := int(binary.BigEndian.Uint16(plain[12:]))
	if used > logPayload || l.number >= l.of || plain[14] != 0 || plain[15] != 0 {
		return l, fmt.Errorf("block %d of %d, %d bytes", l.number, l.of, used)
	}
	l.payload = plain[logFields:][:used]
	return l, nil
}

// Sync makes every batch applied before it durable. Callers at the same time share one sync of the storage.
func (s *Store) Sync() error {
	s.apply.Lock()
	mine := s.batch
	s.apply.Unlock()
	s.commit.Lock()
	defer s.commit.Unlock()
	if s.durable >= mine {
		return nil
	}
	if err := s.failed(); err != nil {
		return err
	}
	return s.writeGroup()
}

// writeGroup writes what is pending to the log, or makes a checkpoint where the log has no room for it. The commit lock is held.
func (s *Store) writeGroup() error {
	s.apply.Lock()
	log, batch := s.log, s.batch
	runs, blocks, count := s.written.take() // after the batches that may refer to them
	var stream []byte
	fits := log.bytes <= maximumGroup
	if fits {
		verified := blocks
		if count > verifiedBlocks {
			verified = nil
		}
		stream = encodeGroup(runs, verified, log.batches)
		fits = s.logNext+(len(stream)+logPayload-1)/logPayload <= logBlocks
	}
	if fits {
		s.log = pending{}
	}
	s.apply.Unlock()
	if !fits {
		err := s.checkpoint(false)
		if err != nil {
			s.written.restore(runs, blocks, count)
		}
		return err
	}
	if count > verifiedBlocks { // too many to be checked one by one after a crash: they must be there before the log says so
		if err := s.backing.Sync(); err != nil {
			return s.broken("the image", err)
		}
	}
	if err := s.writeLog(stream); err != nil {
		return s.broken("the log", err)
	}
	s.durable = batch
	s.state.Sequence++
	s.state.Clean = false
	if s.anchor != nil {
		if err := s.anchor.Note(s.keyring.keys.volume, s.state); err != nil {
			return s.broken("the anchor", err)
		}
	}
	if s.logNext > logBlocks*3/4 {
		s.hasten()
	}
	return nil
}

// writeLog appends one group and syncs.
func (s *Store) writeLog(stream []byte) error {
	of := (len(stream) + logPayload - 1) / logPayload
	blocks := make([]byte, of*BlockSize)
	for i := range of {
		l := logBlock{s.state.Sequence + 1, i, of, stream[i*logPayload : min(len(stream), (i+1)*logPayload)]}
		s.keyring.sealLog(s.logBox, s.state.Epoch, s.logNext+i, s.state.Root, l, blocks[i*BlockSize:][:BlockSize])
	}
	if err := s.write(blocks, logStart+uint64(s.logNext)); err != nil {
		return err
	}
	if err := s.backing.Sync(); err != nil {
		return err
	}
	s.logNext += of
	return nil
}

// broken ends all writing after an error of the storage, whose state is not known any more.
func (s *Store) broken(where string, err error) error {
	e := lost(where, err)
	e.Kind = Lost
	s.fail(e)
	return e
}
