#pragma once

#include <duplex/core/error.hpp>
#include <duplex/http/token.hpp>

#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex {

/// One header field.
struct field_view {
    std::string_view name;
    std::string_view value;

    [[nodiscard]] friend bool operator==(const field_view&, const field_view&) noexcept = default;
};

/// Header fields in the order in which they came or were added, several of one name included. The text lies
/// in one buffer; views of it are valid until the next change of the object. Lookups take time linear in the
/// number of fields, which `http_limits::header_count` bounds.
class fields {
public:
    class iterator {
    public:
        using value_type = field_view;
        using difference_type = std::ptrdiff_t;
        using reference = field_view;
        using iterator_category = std::input_iterator_tag;
        using iterator_concept = std::forward_iterator_tag;

        iterator() noexcept = default;

        [[nodiscard]] field_view operator*() const noexcept { return owner_->at(index_); }

        iterator& operator++() noexcept {
            ++index_;
            return *this;
        }

        iterator operator++(int) noexcept {
            const iterator old = *this;
            ++index_;
            return old;
        }

        [[nodiscard]] friend bool operator==(const iterator&, const iterator&) noexcept = default;

    private:
        friend class fields;

        iterator(const fields* owner, std::size_t index) noexcept
            : owner_(owner)
            , index_(index) {}

        const fields* owner_ = nullptr;
        std::size_t index_ = 0;
    };

    using value_type = field_view;
    using const_iterator = iterator;

    fields() = default;

    /// The caller's own headers: `{{"Authorization", "Bearer abc"}, {"X-Client", "1"}}`.
    fields(std::initializer_list<std::pair<std::string_view, std::string_view>> list) {
        for (const auto& [name, value] : list)
            add(name, value);
    }

    /// Adds a field as given; `check` says whether it may be sent. Neither argument may be a view into this
    /// object.
    void add(std::string_view name, std::string_view value) {
        append_name(name);
        append_value(value);
        end_field();
    }

    /// The first rule a field breaks: `errc::header_name_invalid`, `errc::header_value_invalid`, or no error
    /// (RFC 9110 5.1, 5.5).
    [[nodiscard]] std::error_code check() const noexcept {
        for (const auto field : *this) {
            if (!is_token(field.name)) return make_error_code(errc::header_name_invalid);
            if (!is_field_value(field.value)) return make_error_code(errc::header_value_invalid);
        }
        return {};
    }

    /// The value of the first field of that name, without regard to case (RFC 9110 5.1).
    [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept {
        for (const auto field : *this)
            if (equals_ignoring_case(field.name, name)) return field.value;
        return std::nullopt;
    }

    /// How many fields have that name, without regard to case.
    [[nodiscard]] std::size_t count(std::string_view name) const noexcept {
        std::size_t n = 0;
        for (const auto field : *this)
            n += equals_ignoring_case(field.name, name) ? 1U : 0U;
        return n;
    }

    /// Calls `fn(std::string_view value)` for each field of that name, in order: several fields of one name
    /// are one list (RFC 9110 5.3).
    template <class Function>
    void for_each(std::string_view name, Function&& fn) const {
        for (const auto field : *this)
            if (equals_ignoring_case(field.name, name)) fn(field.value);
    }

    [[nodiscard]] std::size_t size() const noexcept { return ends_.size(); }
    [[nodiscard]] bool empty() const noexcept { return ends_.empty(); }

    /// Makes room for the names and values of `count` fields, `bytes` in all.
    void reserve(std::size_t count, std::size_t bytes) {
        ends_.reserve(count);
        text_.reserve(bytes);
    }

    void clear() noexcept {
        text_.clear();
        ends_.clear();
    }

    [[nodiscard]] iterator begin() const noexcept { return {this, 0}; }
    [[nodiscard]] iterator end() const noexcept { return {this, size()}; }

    /// The same fields in the same order; names are compared without regard to case.
    [[nodiscard]] friend bool operator==(const fields& a, const fields& b) noexcept {
        if (a.size() != b.size()) return false;
        for (std::size_t i = 0; i < a.size(); ++i) {
            const auto left = a.at(i);
            const auto right = b.at(i);
            if (!equals_ignoring_case(left.name, right.name) || left.value != right.value) return false;
        }
        return true;
    }

private:
    friend class head_parser;

    /// Where a field's name and value end in `text_`; it begins where the field before it ends.
    struct field_ends {
        std::size_t name;
        std::size_t value;
    };

    [[nodiscard]] field_view at(std::size_t index) const noexcept {
        const std::string_view text = text_;
        const std::size_t begin = index == 0 ? 0 : ends_[index - 1].value;
        const auto [name, value] = ends_[index];
        return {text.substr(begin, name - begin), text.substr(name, value - name)};
    }

    // A field may also grow piece by piece, as its bytes arrive; it shows only when it ended.
    void append_name(std::string_view piece) {
        text_.append(piece);
        name_end_ = text_.size();
    }

    void append_value(std::string_view piece) { text_.append(piece); }

    void end_field() { ends_.push_back({name_end_, text_.size()}); }

    /// Drops the white space after the value of the field that is growing; each byte is dropped once.
    void trim_value() noexcept {
        while (text_.size() > name_end_ && detail::is_white_space(text_.back()))
            text_.pop_back();
    }

    std::string text_;
    std::vector<field_ends> ends_;
    std::size_t name_end_ = 0;
};

} // namespace duplex
