package brokertest

import (
	"context"
	"errors"
	"sync"

	"jitaccess/internal/access"
)

// Signatures keeps deeds, and what keys have signed, in memory.
type Signatures struct {
	mu   sync.Mutex
	All  []access.Deed
	Uses []access.KeyUse
	// Notices are what came with deeds.
	Notices []access.Notice
	// Reads counts how often deeds were read, UseReads how often the last use of a key was.
	// Meanwhile happens once while deeds are read.
	Reads     int
	UseReads  int
	Meanwhile func()
	// Err makes it fail; Damaged is of what the deeds are not what was recorded.
	Err     error
	Damaged string
	// Read are of what deeds were read, empty for all.
	Read []string
}

// Deeds implements broker.Deeds.
func (s *Signatures) Deeds(_ context.Context, kind, of string) ([]access.Deed, error) {
	meanwhile := func() {}
	defer func() { meanwhile() }() // without the lock
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Reads++
	s.Read = append(s.Read, of)
	if s.Meanwhile != nil {
		meanwhile, s.Meanwhile = s.Meanwhile, nil
	}
	var some []access.Deed
	for _, d := range s.All {
		if d.Kind == kind && (of == "" || d.Of == of) && (s.Damaged == "" || d.Of != s.Damaged) {
			some = append(some, d)
		}
	}
	if s.Err == nil && s.Damaged != "" && (of == "" || of == s.Damaged) {
		return some, access.Damages{{Of: s.Damaged, Err: &access.Error{Kind: access.Unprocessable, Code: access.CodeDeedsDamaged,
			Args: access.Args{"of": s.Damaged}, Err: errors.New("deed 2 does not follow")}}}.Err()
	}
	return some, s.Err
}

// Append implements broker.Deeds.
func (s *Signatures) Append(ctx context.Context, d access.Deed, notices ...access.Notice) error {
	before, err := s.Deeds(ctx, d.Kind, d.Of)
	if err == nil && d.Number != len(before)+1 {
		err = &access.Error{Kind: access.Conflict, Code: access.CodeChangedMeanwhile, Args: access.Args{"of": d.Of}}
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.All, s.Notices = append(s.All, d), append(s.Notices, notices...)
	return nil
}

// KeyUsed implements broker.Signatures.
func (s *Signatures) KeyUsed(_ context.Context, use access.KeyUse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Uses = append(s.Uses, use)
	return s.Err
}

// LastUse implements broker.Signatures.
func (s *Signatures) LastUse(_ context.Context, credential []byte) (access.KeyUse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.UseReads++
	var last access.KeyUse
	for _, use := range s.Uses {
		if string(use.Credential) == string(credential) {
			last = use
		}
	}
	return last, s.Err
}
