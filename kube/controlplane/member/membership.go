// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Most is how many members a database has at the most: three keep serving when
// one is lost, and a fourth would add a vote to wait for and no safety.
const Most = 3

// Ports of a member. Both take certificates of the control plane's etcd
// authority only.
const (
	ClientPort = 2379
	PeerPort   = 2380
)

// Name is what a member is called: the name of its pod, which ends in an ordinal.
type Name struct {
	base    string
	ordinal int
}

// ParseName reads a pod's name. Its ordinal must be below Most.
func ParseName(name string) (Name, error) {
	base, last, found := cutLast(name, "-")
	ordinal, err := strconv.Atoi(last)
	if !found || err != nil || strconv.Itoa(ordinal) != last || ordinal >= Most {
		return Name{}, fmt.Errorf("%q does not end in -0, -1 or -2", name)
	}
	return Name{base: base, ordinal: ordinal}, nil
}

func cutLast(s, separator string) (before, after string, found bool) {
	at := strings.LastIndex(s, separator)
	if at < 1 {
		return s, "", false
	}
	return s[:at], s[at+len(separator):], true
}

// String is the name as ParseName took it.
func (n Name) String() string { return n.base + "-" + strconv.Itoa(n.ordinal) }

// Ordinal counts from 0.
func (n Name) Ordinal() int { return n.ordinal }

// Peers says where the members of one database are. A member's host is its name
// below a domain, because a pod's address changes and its name does not.
type Peers struct {
	// Self is the member that this process runs.
	Self Name
	// Domain is the domain of the headless Service.
	Domain string
}

// PeerURL is where other members reach the member of that name.
func (p Peers) PeerURL(name Name) string { return p.url(name, PeerPort) }

// ClientURL is where clients reach the member of that name.
func (p Peers) ClientURL(name Name) string { return p.url(name, ClientPort) }

func (p Peers) url(name Name, port int) string {
	return fmt.Sprintf("https://%s.%s:%d", name, p.Domain, port)
}

// Others are the names of all members but Self.
func (p Peers) Others() []Name {
	var others []Name
	for ordinal := range Most {
		if ordinal != p.Self.ordinal {
			others = append(others, Name{base: p.Self.base, ordinal: ordinal})
		}
	}
	return others
}

// byPeerURL finds the name of the member with that one address.
func (p Peers) byPeerURL(urls []string) (Name, bool) {
	for ordinal := range Most {
		name := Name{base: p.Self.base, ordinal: ordinal}
		if len(urls) == 1 && urls[0] == p.PeerURL(name) {
			return name, true
		}
	}
	return Name{}, false
}

// Member is one entry of a database's list of members.
type Member struct {
	ID       uint64
	Name     string // empty until the member has started once
	PeerURLs []string
	Learner  bool // follows, but has no vote yet
}

// Membership is a database's own list of its members, as a majority of them agrees on it.
type Membership struct {
	Cluster uint64
	Members []Member
}

// Has reports whether the member of that id is in the list.
func (m Membership) Has(id uint64) bool {
	return slices.ContainsFunc(m.Members, func(one Member) bool { return one.ID == id })
}

func (m Membership) byPeerURL(url string) (Member, bool) {
	for _, one := range m.Members {
		if slices.Contains(one.PeerURLs, url) {
			return one, true
		}
	}
	return Member{}, false
}

// initialCluster is the list as a joining member must be told it. Its names are
// those of the addresses: a member that has not started has no other yet.
func (m Membership) initialCluster(peers Peers) (string, error) {
	var entries []string
	for _, one := range m.Members {
		name, known := peers.byPeerURL(one.PeerURLs)
		if !known {
			return "", fmt.Errorf("the list holds member %x at %s, which is no replica of this control plane", one.ID, strings.Join(one.PeerURLs, " and "))
		}
		entries = append(entries, name.String()+"="+one.PeerURLs[0])
	}
	slices.Sort(entries)
	return strings.Join(entries, ","), nil
}

// Errors of those who ask the other members.
var (
	// ErrSilent: not one other member could be reached. Whether a database
	// exists is unknown.
	ErrSilent = errors.New("no other member of the database can be reached")
	// ErrNoMajority: a member was reached, so a database exists, but not enough
	// of its members agree on anything.
	ErrNoMajority = errors.New("members of the database were reached, but no majority of them is running")
)
