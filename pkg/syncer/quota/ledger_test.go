// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

const blue = "tenant-blue"

func cpu(amount string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(amount), corev1.ResourcePods: resource.MustParse("1")}
}

func key(name string) types.NamespacedName { return types.NamespacedName{Namespace: "s", Name: name} }

// asked returns a holding that is being created.
func asked(name, amount string) Holding {
	return Holding{Key: key(name), Stands: types.UID("t-" + name), Demand: cpu(amount)}
}

// made returns a holding that exists.
func made(name, amount string, version int) Holding {
	h := asked(name, amount)
	h.UID, h.Version = types.UID("s-"+name), strconv.Itoa(version)
	return h
}

// book is a ledger of one tenant, and who was called.
type book struct {
	*Ledger
	mu     sync.Mutex
	called []string
}

func open(limit corev1.ResourceList, has ...Holding) *book {
	b := &book{}
	b.Ledger = New(func(_ string, waiter types.NamespacedName) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.called = append(b.called, waiter.Name)
	})
	b.Limit(blue, limit)
	b.Load(blue, has)
	return b
}

// try asks for room, as a worker does.
func (b *book) try(h Holding) error {
	return b.Reserve(blue, h, types.NamespacedName{Namespace: "t", Name: h.Key.Name})
}

func (b *book) wantUsed(t *testing.T, want string) {
	t.Helper()
	used, _ := b.Used(blue)
	if used.Cpu().Cmp(resource.MustParse(want)) != 0 {
		t.Errorf("cpu %s is used, want %s", used.Cpu(), want)
	}
}

func (b *book) wantCalled(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, b.called); diff != "" {
		t.Errorf("called (-want +got):\n%s", diff)
	}
	b.called = nil
}

func limit(cpu, pods string) corev1.ResourceList {
	out := corev1.ResourceList{}
	if cpu != "" {
		out[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if pods != "" {
		out[corev1.ResourcePods] = resource.MustParse(pods)
	}
	return out
}

// TestWhatFits: sums, and the words in which it is told what is too much.
func TestWhatFits(t *testing.T) {
	cases := map[string]struct {
		limit corev1.ResourceList
		has   []Holding
		ask   Holding
		want  string // of the error
	}{
		"all":                    {limit("2", ""), nil, asked("a", "2"), ""},
		"the rest":               {limit("2", "2"), []Holding{made("b", "1500m", 1)}, asked("a", "500m"), ""},
		"a little too much":      {limit("2", ""), []Holding{made("b", "1500m", 1)}, asked("a", "501m"), "cpu: 1500m of 2 used, 501m more asked for"},
		"more than ever":         {limit("2", ""), nil, asked("a", "3"), "cpu: 0 of 2 used, 3 more asked for"},
		"too many":               {limit("", "1"), []Holding{made("b", "0", 1)}, asked("a", "0"), "pods: 1 of 1 used, 1 more asked for"},
		"both":                   {limit("1", "1"), []Holding{made("b", "1", 1)}, asked("a", "1"), "cpu: 1 of 1 used, 1 more asked for; pods: 1 of 1 used, 1 more asked for"},
		"not bounded":            {limit("", "5"), nil, asked("a", "1000"), ""},
		"nothing of what is out": {limit("1", ""), []Holding{made("b", "7", 1)}, asked("a", "0"), ""},
		"as large as numbers go": {limit("1", ""), []Holding{made("b", "9223372036854775807", 1)}, asked("a", "9223372036854775807"), "cpu: 9223372036854775807 of 1 used, 9223372036854775807 more asked for"},
		"what ended":             {limit("1", ""), []Holding{{Key: key("b"), UID: "s-b"}}, asked("a", "1"), ""},
		"a change within":        {limit("3", ""), []Holding{made("a", "1", 1), made("b", "1", 1)}, made("a", "2", 1), ""},
		"a change beyond":        {limit("3", ""), []Holding{made("a", "1", 1), made("b", "1", 1)}, made("a", "3", 1), "cpu: 2 of 3 used, 2 more asked for"},
		"less than before":       {limit("1", "0"), []Holding{made("a", "4", 1)}, made("a", "3", 1), ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := open(tc.limit, tc.has...).try(tc.ask)
			var exceeded *ExceededError
			if errors.As(err, &exceeded) {
				if exceeded.Error() != tc.want {
					t.Errorf("it says %q, want %q", exceeded, tc.want)
				}
			} else if err != nil || tc.want != "" {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

// TestWhatBecomesOfAReservation: in whatever order the answer and the watch tell
// of an outcome, it counts once, and what is gone does not count.
func TestWhatBecomesOfAReservation(t *testing.T) {
	type step = func(*book)
	observe := func(h Holding) step { return func(b *book) { b.Observe(blue, h) } }
	settle := func(h Holding) step { return func(b *book) { b.Settle(blue, h) } }
	gone := func(b *book) { b.Gone(blue, key("a"), "s-a") }
	ended := made("a", "1", 3)
	ended.Demand = nil
	// The forerunner is larger, of the same name, and stands for the same object or another.
	old := Holding{Key: key("a"), UID: "old", Stands: "other", Version: "2", Demand: cpu("1")}
	oldGone := func(b *book) { b.Gone(blue, key("a"), "old") }
	same := old
	same.Stands = "t-a"
	cases := map[string]struct {
		has   []Holding
		ask   Holding
		steps []step
		want  string
	}{
		"nothing yet":                      {nil, asked("a", "1"), nil, "1"},
		"answered":                         {nil, asked("a", "1"), []step{settle(made("a", "1", 1))}, "1"},
		"answered with more":               {nil, asked("a", "1"), []step{settle(made("a", "2", 1))}, "2"},
		"seen first":                       {nil, asked("a", "1"), []step{observe(made("a", "1", 1)), settle(made("a", "1", 1))}, "1"},
		"seen later":                       {nil, asked("a", "1"), []step{settle(made("a", "1", 1)), observe(made("a", "1", 2))}, "1"},
		"seen to go before the answer":     {nil, asked("a", "1"), []step{observe(made("a", "1", 1)), gone, settle(made("a", "1", 1))}, "0"},
		"seen to end before the answer":    {nil, asked("a", "1"), []step{observe(made("a", "1", 1)), observe(ended), settle(made("a", "1", 1))}, "0"},
		"answered, and gone":               {nil, asked("a", "1"), []step{settle(made("a", "1", 1)), gone}, "0"},
		"refused":                          {nil, asked("a", "1"), []step{func(b *book) { b.Release(blue, key("a")) }}, "0"},
		"nobody knows, and it is seen":     {nil, asked("a", "1"), []step{observe(made("a", "1", 1))}, "1"},
		"nobody knows, and it is not":      {nil, asked("a", "1"), []step{func(b *book) { b.Leave(blue, key("a")) }}, "0"},
		"asked twice":                      {nil, asked("a", "1"), []step{func(b *book) { _ = b.try(asked("a", "1")) }}, "1"},
		"the forerunner's last words":      {nil, asked("a", "1"), []step{observe(Holding{Key: key("a"), UID: "old", Stands: "other", Version: "1", Demand: cpu("1")}), func(b *book) { b.Gone(blue, key("a"), "old") }}, "1"},
		"the forerunner's end":             {nil, asked("a", "1"), []step{func(b *book) { b.Gone(blue, key("a"), "old") }}, "1"},
		"the forerunner, still counted":    {[]Holding{old}, asked("a", "1"), []step{oldGone}, "1"},
		"after it, answered":               {[]Holding{old}, asked("a", "1"), []step{settle(made("a", "1", 4)), oldGone}, "1"},
		"after it, seen":                   {[]Holding{old}, asked("a", "1"), []step{observe(made("a", "1", 4)), oldGone}, "1"},
		"its last words after the answer":  {[]Holding{old}, asked("a", "1"), []step{settle(made("a", "1", 4)), observe(old), oldGone}, "1"},
		"its last words, of the same":      {[]Holding{same}, asked("a", "1"), []step{observe(same), oldGone}, "1"},
		"ended when it is first seen":      {nil, asked("a", "1"), []step{observe(ended), settle(made("a", "1", 1))}, "0"},
		"larger, on its way":               {[]Holding{made("a", "1", 1)}, made("a", "3", 1), nil, "3"},
		"larger, and an older event":       {[]Holding{made("a", "1", 1)}, made("a", "3", 1), []step{settle(made("a", "3", 5)), observe(made("a", "1", 4))}, "3"},
		"larger, an event before":          {[]Holding{made("a", "1", 1)}, made("a", "3", 1), []step{observe(made("a", "1", 2))}, "3"},
		"larger, refused":                  {[]Holding{made("a", "1", 1)}, made("a", "3", 1), []step{func(b *book) { b.Release(blue, key("a")) }}, "1"},
		"larger, and gone on its way":      {[]Holding{made("a", "1", 1)}, made("a", "3", 1), []step{gone, settle(made("a", "3", 5))}, "0"},
		"smaller, on its way":              {[]Holding{made("a", "3", 1)}, made("a", "1", 1), nil, "3"},
		"smaller":                          {[]Holding{made("a", "3", 1)}, made("a", "1", 1), []step{settle(made("a", "1", 2)), observe(made("a", "1", 2))}, "1"},
		"the end of another of its name":   {[]Holding{made("a", "3", 1)}, made("a", "3", 1), []step{func(b *book) { b.Gone(blue, key("a"), "old") }}, "3"},
		"an answer that nobody waited for": {nil, asked("b", "0"), []step{settle(made("a", "1", 1))}, "0"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := open(limit("4", ""), tc.has...)
			if err := b.try(tc.ask); err != nil {
				t.Fatal(err)
			}
			for _, step := range tc.steps {
				step(b)
			}
			b.wantUsed(t, tc.want)
		})
	}
}

// TestLoading: nothing fits before everything is counted, and what happens
// while it is being counted is not undone by an older list.
func TestLoading(t *testing.T) {
	b := open(nil)
	if _, metered := b.Used(blue); metered {
		t.Fatal("an account without a quota")
	}
	if err := b.try(asked("a", "100")); err != nil {
		t.Fatalf("without a quota: %v", err)
	}
	if load := b.Limit(blue, limit("4", "")); !load {
		t.Fatal("nobody is asked to count")
	}
	if err := b.try(asked("a", "1")); !errors.Is(err, ErrNotLoaded) {
		t.Fatalf("before it is counted: %v", err)
	}
	b.Observe(blue, made("grown", "2", 7))
	b.Observe(blue, made("late", "1", 8))
	b.Gone(blue, key("gone"), "s-gone")
	b.Load(blue, []Holding{made("grown", "1", 5), made("gone", "1", 5), made("quiet", "1", 5)})
	b.wantUsed(t, "4")
	if load := b.Limit(blue, limit("5", "")); load {
		t.Error("what is counted is counted again")
	}
	if err := b.try(asked("a", "1")); err != nil {
		t.Error(err)
	}
	if b.Limit(blue, nil); b.Metered(blue) {
		t.Error("an account without a quota")
	}
}

// TestWhoIsCalled: in the order in which they came, those for whom there is room.
func TestWhoIsCalled(t *testing.T) {
	b := open(limit("4", ""), made("x", "1", 1), made("y", "3", 1))
	for _, h := range []Holding{asked("large", "3"), asked("first", "1"), asked("second", "1"), asked("third", "2")} {
		if b.try(h) == nil {
			t.Fatalf("%s fits", h.Key.Name)
		}
	}
	b.wantCalled(t)
	b.Gone(blue, key("x"), "s-x")
	b.wantCalled(t, "first")
	if err := b.try(asked("first", "1")); err != nil {
		t.Fatal(err)
	}
	b.wantCalled(t)
	b.Observe(blue, made("y", "2", 2))
	b.wantCalled(t, "second")
	b.Leave(blue, key("second")) // nobody wants it any more
	b.Gone(blue, key("y"), "s-y")
	b.wantCalled(t, "large")
	b.Limit(blue, limit("4000m", "")) // the same
	b.wantCalled(t)
	b.Limit(blue, limit("1", ""))
	b.wantCalled(t, "large", "third") // they are told of the other quota
	b.Limit(blue, nil)
	b.wantCalled(t, "large", "third")
}

// TestRoomIsNotLost: room for which one was called that does not take it is for
// the next.
func TestRoomIsNotLost(t *testing.T) {
	cases := map[string]struct {
		then func(*book)
		want []string
	}{
		"it takes it":                   {func(b *book) { _ = b.try(asked("large", "3")) }, nil},
		"it is held up":                 {func(b *book) { b.Skip(blue, key("large")) }, []string{"small"}},
		"it is gone":                    {func(b *book) { b.Leave(blue, key("large")) }, []string{"small"}},
		"it is refused":                 {func(b *book) { _ = b.try(asked("large", "3")); b.Release(blue, key("large")) }, []string{"small"}},
		"somebody else takes a part":    {func(b *book) { _ = b.try(asked("new", "1")); _ = b.try(asked("large", "3")) }, []string{"small"}},
		"somebody else takes all of it": {func(b *book) { _ = b.try(asked("new", "3")); _ = b.try(asked("large", "3")) }, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := open(limit("3", ""), made("x", "3", 1))
			_, _ = b.try(asked("large", "3")), b.try(asked("small", "2"))
			b.Gone(blue, key("x"), "s-x")
			b.wantCalled(t, "large")
			tc.then(b)
			b.wantCalled(t, tc.want...)
		})
	}
}

// TestWhatIsToldStays: that others come and go is no news, another quota is.
func TestWhatIsToldStays(t *testing.T) {
	b := open(limit("4", ""), made("x", "2", 1), made("y", "2", 1))
	first := b.try(asked("a", "4"))
	b.Gone(blue, key("x"), "s-x")
	if again := b.try(asked("a", "4")); again.Error() != first.Error() {
		t.Errorf("%q, and then %q", first, again)
	}
	b.Limit(blue, limit("5", ""))
	if other := b.try(asked("a", "4")); other.Error() != "cpu: 2 of 5 used, 4 more asked for" {
		t.Errorf("another quota: %q", other)
	}
	if larger := b.try(asked("a", "5")); larger.Error() != "cpu: 2 of 5 used, 5 more asked for" {
		t.Errorf("another demand: %q", larger)
	}
}

// TestManyAtOnce: however many ask at the same time, what exists is never above
// the quota, all come to their turn, and nothing is left in the books.
func TestManyAtOnce(t *testing.T) {
	const many, most = 200, 7
	waiting := make([]chan struct{}, many)
	for i := range waiting {
		waiting[i] = make(chan struct{}, 1)
	}
	l := New(func(_ string, waiter types.NamespacedName) {
		i, _ := strconv.Atoi(waiter.Name)
		select {
		case waiting[i] <- struct{}{}:
		default:
		}
	})
	l.Limit(blue, limit(strconv.Itoa(most), ""))
	l.Load(blue, nil)
	var mu sync.Mutex
	exist, highest := 0, 0
	live := func(change int) {
		mu.Lock()
		defer mu.Unlock()
		exist += change
		highest = max(highest, exist)
	}
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			name := strconv.Itoa(i)
			for l.Reserve(blue, asked(name, "1"), types.NamespacedName{Name: name}) != nil {
				<-waiting[i]
			}
			if i%5 == 0 { // refused
				l.Release(blue, key(name))
				return
			}
			live(1)
			var told sync.WaitGroup
			told.Go(func() { l.Observe(blue, made(name, "1", 1)) })
			told.Go(func() { l.Settle(blue, made(name, "1", 1)) })
			told.Wait()
			live(-1)
			l.Gone(blue, key(name), types.UID("s-"+name))
		})
	}
	all.Wait()
	if highest > most || highest == 0 {
		t.Errorf("%d were there at once, and %d may be", highest, most)
	}
	if used, _ := l.Used(blue); len(used) > 0 {
		t.Errorf("%v is left", used)
	}
	if a := l.account(blue); len(a.entries) > 0 || a.waiters.order.Len() > 0 {
		t.Errorf("%d entries and %d waiters are left", len(a.entries), a.waiters.order.Len())
	}
}

// TestFewAreLookedAt: what one that ends costs does not depend on how many wait
// for as much.
func TestFewAreLookedAt(t *testing.T) {
	b := open(limit("1", ""), made("x", "1", 1))
	for i := range 1000 {
		_ = b.try(asked(fmt.Sprintf("w%d", i), "1"))
	}
	b.account(blue).waiters.order.Back().Value = nil // whoever looks at it panics
	b.Gone(blue, key("x"), "s-x")
	b.wantCalled(t, "w0")
	if least := b.account(blue).waiters.least; least.Cpu().Cmp(resource.MustParse("1")) != 0 {
		t.Errorf("the least that anybody asks for is %v", least)
	}
}

func both(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

// TestRoomThatComesDuringASearch: it is for those too that were passed before.
func TestRoomThatComesDuringASearch(t *testing.T) {
	const many = 2 * looks
	b := open(both("10", "10"), Holding{Key: key("x"), UID: "s-x", Demand: both("1", "1")}, Holding{Key: key("y"), UID: "s-y", Version: "1", Demand: both("9", "9")})
	wanted := map[string]Holding{}
	for i := range many {
		name, demand := strconv.Itoa(i), both("2", "1")
		switch {
		case i == 0:
			demand = both("1500m", "1")
		case i%2 == 0:
			demand = both("1", "2")
		}
		wanted[name] = Holding{Key: key(name), Stands: types.UID(name), Demand: demand}
		_ = b.try(wanted[name])
	}
	b.Gone(blue, key("x"), "s-x")
	b.Observe(blue, Holding{Key: key("y"), UID: "s-y", Version: "2", Demand: both("8500m", "9")})
	for turns := 0; len(b.called) > 0 && turns < many; turns++ {
		name := b.called[0]
		b.called = b.called[1:]
		if b.try(wanted[name]) == nil {
			if name != "0" {
				t.Errorf("%s has the room", name)
			}
			return
		}
	}
	t.Error("nobody has the room")
}

// TestManyWhoLackSomethingElse: while one change of one tenant is entered, few of
// its waiters are looked at, and still everybody comes to a turn.
func TestManyWhoLackSomethingElse(t *testing.T) {
	const many = 1000
	b := &book{}
	b.Ledger = New(func(_ string, waiter types.NamespacedName) { b.called = append(b.called, waiter.Name) })
	b.Limit(blue, both("10", "10"))
	b.Load(blue, []Holding{{Key: key("x"), UID: "s-x", Demand: both("1", "1")}, {Key: key("y"), UID: "s-y", Demand: both("9", "9")}})
	wanted := map[string]Holding{}
	ask := func(name, cpu, memory string) {
		h := Holding{Key: key(name), Stands: types.UID(name), Demand: both(cpu, memory)}
		if wanted[name] = h; b.try(h) == nil {
			t.Fatalf("%s fits", name)
		}
	}
	for i := range many { // none fits, and the least of both would
		ask(fmt.Sprintf("cpu%d", i), "2", "1")
		ask(fmt.Sprintf("memory%d", i), "1", "2")
	}
	ask("last", "1", "1")
	got := map[string]bool{}
	turns := 0
	for b.Gone(blue, key("x"), "s-x"); len(b.called) > 0 && turns < many; turns++ {
		name := b.called[0]
		b.called = b.called[1:]
		got[name] = b.try(wanted[name]) == nil
		if turns < 3 { // room that comes while they are looked through does not begin it again
			b.Observe(blue, Holding{Key: key("y"), UID: "s-y", Version: fmt.Sprint(turns + 1), Demand: both(fmt.Sprintf("%dm", 8990-turns), "9")})
		}
	}
	if !got["last"] {
		t.Error("the last, for which there is room, has had no turn")
	}
	if turns < 2*many/looks/2 || turns > 10*many/looks {
		t.Errorf("%d turns", turns)
	}
	if a := b.account(blue); len(a.waiters.promised) > 0 || a.waiters.next != nil {
		t.Errorf("%v is promised still, searching %v", a.waiters.promised, a.waiters.next != nil)
	}
}

// TestTheQuotaGoesWhileOneAsks: whoever has looked an account up that is gone now
// does not begin to wait there, where nobody is called any more.
func TestTheQuotaGoesWhileOneAsks(t *testing.T) {
	for name, end := range map[string]func(*book){
		"it is none":      func(b *book) { b.Limit(blue, nil) },
		"the tenant goes": func(b *book) { b.Drop(blue) },
	} {
		t.Run(name, func(t *testing.T) {
			b := open(limit("1", ""), made("x", "1", 1))
			late := b.account(blue)
			end(b)
			if err := late.reserve(asked("a", "1"), key("a")); !errors.Is(err, errClosed) {
				t.Errorf("it waits: %v", err)
			}
			if err := b.try(asked("a", "1")); err != nil {
				t.Errorf("the next time: %v", err)
			}
			if b.Limit(blue, limit("1", "")); !errors.Is(b.try(asked("a", "1")), ErrNotLoaded) {
				t.Error("another account has it made before all is counted")
			}
		})
	}
}

// TestADoubtStays: what may have been made counts until somebody has looked.
func TestADoubtStays(t *testing.T) {
	cases := map[string]struct {
		has   []Holding
		ask   Holding
		then  func(*book)
		used  string
		doubt bool
	}{
		"nothing more":         {nil, asked("a", "1"), func(*book) {}, "1", true},
		"refused later":        {nil, asked("a", "1"), func(b *book) { b.Release(blue, key("a")) }, "1", true},
		"something else is":    {nil, asked("a", "1"), func(b *book) { b.Skip(blue, key("a")) }, "1", true},
		"it was made":          {nil, asked("a", "1"), func(b *book) { b.Settle(blue, made("a", "1", 1)) }, "1", false},
		"it is seen":           {nil, asked("a", "1"), func(b *book) { b.Observe(blue, made("a", "1", 1)) }, "1", false},
		"it was not made":      {nil, asked("a", "1"), func(b *book) { b.Leave(blue, key("a")) }, "0", false},
		"larger":               {[]Holding{made("a", "1", 1)}, made("a", "3", 1), func(b *book) { b.Release(blue, key("a")) }, "3", true},
		"it did not grow":      {[]Holding{made("a", "1", 1)}, made("a", "3", 1), func(b *book) { b.Settle(blue, made("a", "1", 1)) }, "1", false},
		"it has ended by then": {nil, asked("a", "1"), func(b *book) { b.Settle(blue, Holding{Key: key("a"), UID: "s-a"}) }, "0", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := open(limit("4", ""), tc.has...)
			if err := b.try(tc.ask); err != nil {
				t.Fatal(err)
			}
			b.Doubt(blue, key("a"))
			tc.then(b)
			b.wantUsed(t, tc.used)
			if counts, doubt := b.Holds(blue, key("a")); doubt != tc.doubt || counts != (tc.used != "0") {
				t.Errorf("counts %v, in doubt %v", counts, doubt)
			}
		})
	}
}
