// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// question is all that decides which version a control plane runs.
type question struct {
	class   string
	offered []tenancyv1alpha1.ClassVersion
	// asked is spec.version.
	asked string
	// running is status.version: what every replica ran when that was last so.
	// Empty means that none was ever ready.
	running string
	// runningImage is running's image as the StatefulSet remembers it; empty if it does not.
	runningImage string
	// template is the version that the StatefulSet asks for; empty if there is none.
	template string
	// last is the last change of version.
	last *tenancyv1alpha1.UpgradeStatus
	// replicas are the pods that exist, and want how many there should be.
	replicas []replica
	want     int
	// scaling: their number is changing.
	scaling bool
	// timeout is how long one replica may take.
	timeout time.Duration
	now     time.Time
}

// choice is which version a control plane runs, and why not another.
type choice struct {
	version      tenancyv1alpha1.ClassVersion
	runningImage string
	upgrade      *tenancyv1alpha1.UpgradeStatus
	// reason and message say why the version is not the one that is asked for,
	// or not to stay. Empty: it is.
	reason, message string
	// warning is what to know about the version all the same; empty: nothing.
	warning string
	// retreat says that pods of another version go back to this one.
	retreat bool
	// requeueAfter is when time alone may change the choice; zero means never.
	requeueAfter time.Duration
}

// choose decides. It is pure: whoever is stopped anywhere and asks again with
// what is stored by then comes to the same end.
//
// A version is never taken back but by a rollback, and goes on by one minor at
// most, as the version skew policy of Kubernetes has it: an API server reads
// what the minor after it has stored, and nothing is promised beyond.
func choose(q question) (choice, error) {
	if q.running == "" {
		return chooseFirst(q)
	}
	target := q.asked
	if target == "" {
		// A class whose default moves on upgrades nobody.
		target = q.running
	}
	if target == q.running {
		return q.stay("", "")
	}
	wanted, ok := q.find(target)
	if !ok {
		return q.stay(tenancyv1alpha1.ReasonVersionNotOffered, fmt.Sprintf(
			"spec.version: class %q does not offer %s; %s goes on running: set one of %s", q.class, target, q.running, q.reachable()))
	}
	if refusal := refuse(q.running, target); refusal != "" {
		return q.stay(tenancyv1alpha1.ReasonUpgradeRefused, fmt.Sprintf(
			"spec.version: %s; %s goes on running: set one of %s", refusal, q.running, q.reachable()))
	}
	return q.change(wanted)
}

// chooseFirst chooses where nothing was ever ready: anything may follow
// anything. Who asks for none gets the default, once.
func chooseFirst(q question) (choice, error) {
	target := q.asked
	if target == "" {
		target = q.template
	}
	found, ok := q.find(target)
	for _, offer := range q.offered {
		if q.asked == "" && !ok && offer.Default {
			found, ok = offer, true
		}
	}
	if !ok {
		return choice{}, &blocked{reason: tenancyv1alpha1.ReasonVersionNotOffered, message: fmt.Sprintf(
			"spec.version: class %q does not offer %q: set one of %s, or leave it empty for the default",
			q.class, target, strings.Join(q.names(), ", "))}
	}
	return choice{version: found, runningImage: found.Image}, nil
}

// stay keeps what runs, or goes back to it. reason and message say what else
// was asked for; empty if nothing was.
func (q question) stay(reason, message string) (choice, error) {
	out := choice{reason: reason, message: message, upgrade: q.last}
	if q.last != nil && q.last.State != tenancyv1alpha1.UpgradeCompleted {
		// It is another wish by now: what became of that one is no longer of interest.
		out.upgrade = nil
	}
	return q.keep(out)
}

// keep completes a choice with the version that runs.
func (q question) keep(out choice) (choice, error) {
	offer, offered := q.find(q.running)
	switch {
	case offered:
		out.version = offer
	case q.runningImage != "":
		out.version = tenancyv1alpha1.ClassVersion{Name: q.running, Image: q.runningImage}
	default:
		return choice{}, &blocked{reason: tenancyv1alpha1.ReasonVersionNotOffered, message: fmt.Sprintf(
			"class %q does not offer %s, which ran, and nothing knows its image any more: offer it again", q.class, q.running)}
	}
	out.runningImage = out.version.Image
	if out.retreat = q.strays(); out.retreat && out.message != "" {
		out.message += fmt.Sprintf("; %d of %d replicas are back", q.back(), q.want)
	}
	switch {
	case out.reason != "":
	case !offered:
		out.reason = tenancyv1alpha1.ReasonVersionNotOffered
		out.message = fmt.Sprintf("class %q no longer offers %s, which goes on running with the image it has: set spec.version to one of %s",
			q.class, q.running, q.reachable())
	case offer.Deprecated:
		out.warning = fmt.Sprintf("class %q deprecates %s, which runs: set spec.version to one of %s", q.class, q.running, q.reachable())
	}
	return out, nil
}

// change goes on to another version, or back from it.
func (q question) change(wanted tenancyv1alpha1.ClassVersion) (choice, error) {
	last := q.last
	same := last != nil && last.From == q.running && last.To == wanted.Name
	if same && last.State == tenancyv1alpha1.UpgradeRolledBack {
		return q.rolledBack(last)
	}
	if !same || last.State != tenancyv1alpha1.UpgradeRolling {
		if obstacle := q.obstacle(); obstacle != "" {
			return q.keep(choice{upgrade: q.last, reason: tenancyv1alpha1.ReasonRollingOut, message: wanted.Name + " waits: " + obstacle})
		}
		last = &tenancyv1alpha1.UpgradeStatus{
			From: q.running, To: wanted.Name, State: tenancyv1alpha1.UpgradeRolling, StartTime: metav1.NewTime(q.now).Rfc3339Copy(),
		}
	}
	cause, left := q.failing(last)
	if cause != "" {
		last = last.DeepCopy()
		last.State = tenancyv1alpha1.UpgradeRolledBack
		last.Message = cut(cause, maxMessage)
		if out, err := q.rolledBack(last); err == nil {
			return out, nil
		}
		// There is no way back: its image is not known. Go on trying.
		last = q.last
	}
	out := choice{version: wanted, runningImage: q.runningImage, upgrade: last, requeueAfter: left}
	if offer, ok := q.find(q.running); ok {
		out.runningImage = offer.Image
	}
	return out, nil
}

// obstacle says why a change of version must not begin yet; empty if it may.
// One that is missing already, or that has no vote yet, and another that is
// being replaced would leave the database without a majority. Where none serves,
// there is nothing to lose.
func (q question) obstacle() string {
	ready := q.ready()
	switch {
	case ready == 0:
		return ""
	case q.scaling:
		return "the number of replicas is changing"
	case ready != q.want:
		return fmt.Sprintf("%d of %d replicas are ready", ready, q.want)
	}
	return ""
}

// rolledBack keeps what runs because of what became of another version.
func (q question) rolledBack(last *tenancyv1alpha1.UpgradeStatus) (choice, error) {
	return q.keep(choice{upgrade: last, reason: tenancyv1alpha1.ReasonRolledBack, message: fmt.Sprintf(
		"%s did not become ready, and %s runs again: %s. When the cause is removed, set spec.version to %s and then to %s again, or to another",
		last.To, last.From, last.Message, last.From, last.To)})
}

// failing returns why a change of version has failed; empty if it has not. Then
// left is how long it may still take, zero while it waits for no new replica.
func (q question) failing(last *tenancyv1alpha1.UpgradeStatus) (cause string, left time.Duration) {
	progress, waiting, trouble := last.StartTime.Time, len(q.replicas) < q.want, "a replica is missing"
	for _, r := range q.replicas {
		switch {
		case r.terminating:
			waiting, trouble = true, "pod "+r.name+" does not end"
		case r.version != last.To:
			continue
		case r.crashLooping:
			return "pod " + r.name + ": " + r.trouble, 0
		case !r.ready:
			waiting, trouble = true, "pod "+r.name+": "+r.trouble
		}
		if r.version == last.To && r.since.After(progress) {
			progress = r.since
		}
	}
	if !waiting {
		return "", 0
	}
	if left = progress.Add(q.timeout).Sub(q.now); left > 0 {
		return "", left
	}
	return fmt.Sprintf("not ready within %s: %s", q.timeout, trouble), 0
}

// strays reports whether there are pods of another version than the one that runs.
func (q question) strays() bool {
	for _, r := range q.replicas {
		if r.version != q.running {
			return true
		}
	}
	return false
}

// back counts the replicas that run the version again.
func (q question) back() int {
	back := 0
	for _, r := range q.replicas {
		if r.ready && r.version == q.running {
			back++
		}
	}
	return back
}

func (q question) ready() int {
	ready := 0
	for _, r := range q.replicas {
		if r.ready {
			ready++
		}
	}
	return ready
}

func (q question) find(name string) (tenancyv1alpha1.ClassVersion, bool) {
	for _, offer := range q.offered {
		if offer.Name == name {
			return offer, true
		}
	}
	return tenancyv1alpha1.ClassVersion{}, false
}

func (q question) names() []string {
	var out []string
	for _, offer := range q.offered {
		out = append(out, offer.Name)
	}
	return out
}

// reachable lists, for people, what spec.version may be.
func (q question) reachable() string {
	var out []string
	for _, name := range q.names() {
		if refuse(q.running, name) == "" {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return "none: the class offers nothing that can be reached from " + q.running
	}
	return strings.Join(out, ", ")
}

// refuse says why a control plane cannot go from one version to another; empty if it can.
func refuse(from, to string) string {
	before, err := version.ParseGeneric(from)
	if err != nil {
		return fmt.Sprintf("%s, which runs, is not a version", from)
	}
	after, err := version.ParseGeneric(to)
	if err != nil {
		return fmt.Sprintf("%s is not a version", to)
	}
	switch {
	case after.LessThan(before):
		return fmt.Sprintf("%s is older than %s, and a database never goes back", to, from)
	case after.Major() != before.Major() || after.Minor() > before.Minor()+1:
		return fmt.Sprintf("%s is more than one minor after %s", to, from)
	}
	return ""
}
