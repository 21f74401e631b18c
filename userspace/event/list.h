// An intrusive doubly linked list: joining and leaving allocate nothing, and an
// element can leave without knowing the list it is in. An element that is in
// several lists has one link per tag.
#pragma once

#include <utility>

#include "base/check.h"

namespace fairlead::event {

template <typename Tag>
class ListLink {
 public:
  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;
  ~ListLink() { FL_CHECK(!linked()); }

  bool linked() const { return next_ != nullptr; }

  // Leaves the list, if it is in one.
  void Unlink() {
    if (!linked()) return;
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = nullptr;
    previous_ = nullptr;
  }

 private:
  template <typename T, typename U>
  friend class List;

  ListLink* next_ = nullptr;
  ListLink* previous_ = nullptr;
};

// A list of T, which derives from ListLink<Tag>. Owns nothing.
template <typename T, typename Tag>
class List {
 public:
  List() {
    head_.next_ = &head_;
    head_.previous_ = &head_;
  }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    FL_CHECK(empty());
    head_.next_ = nullptr;
    head_.previous_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }

  void PushBack(T& element) {
    ListLink<Tag>& link = element;
    FL_CHECK(!link.linked());
    link.previous_ = head_.previous_;
    link.next_ = &head_;
    head_.previous_->next_ = &link;
    head_.previous_ = &link;
  }

  // Requires: !empty().
  T& front() { return static_cast<T&>(*head_.next_); }

  // Requires: !empty().
  T& PopFront() {
    T& element = front();
    ListLink<Tag>& link = element;
    link.Unlink();
    return element;
  }

  // Calls `visit(T&)` for each; it may unlink the element it is given.
  template <typename F>
  void ForEach(F visit) {
    for (ListLink<Tag>* link = head_.next_; link != &head_;) {
      ListLink<Tag>* const next = link->next_;
      visit(static_cast<T&>(*link));
      link = next;
    }
  }

 private:
  ListLink<Tag> head_;
};

}  // namespace fairlead::event
