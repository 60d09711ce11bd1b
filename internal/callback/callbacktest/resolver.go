// Package callbacktest has names for tests that lead elsewhere the next time that somebody asks.
package callbacktest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync/atomic"

	"golang.org/x/net/dns/dnsmessage"
)

// Resolver answers each name with the first of answers, and after a turn with the next.
type Resolver struct {
	answers []string
	at      atomic.Int32
}

// New makes a Resolver with these answers, addresses.
func New(answers ...string) *Resolver { return &Resolver{answers: answers} }

// Turn has names answered with the next.
func (r *Resolver) Turn() { r.at.Add(1) }

// Net is it as package net has it.
func (r *Resolver) Net() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go r.serve(theirs)
		return ours, nil
	}}
}

// serve answers one question, as DNS does over TCP.
func (r *Resolver) serve(c net.Conn) {
	defer c.Close()
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return
	}
	asked := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, asked); err != nil {
		return
	}
	var m dnsmessage.Message
	if m.Unpack(asked) != nil {
		return
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	ip := netip.MustParseAddr(r.answers[r.at.Load()])
	header := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 0}
	switch kind := m.Questions[0].Type; {
	case kind == dnsmessage.TypeA && ip.Is4():
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: ip.As4()}}}
	case kind == dnsmessage.TypeAAAA && ip.Is6():
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}}}
	}
	packed, err := m.Pack()
	if err != nil {
		return
	}
	_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
}
