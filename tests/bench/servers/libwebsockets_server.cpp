// libwebsockets_server PORT [MODE [CERTIFICATE KEY]]: MODE is echo or broadcast

#include <libwebsockets.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <unordered_set>

namespace {

/// A message with room in front for its header, as lws_write wants it.
struct message {
    std::string bytes;
    bool binary = false;
};

struct peer {
    std::string arriving;
    std::deque<std::shared_ptr<message>> queue;
};

bool broadcasts = false;
std::unordered_set<lws*> everyone;

void queue(lws* to, const std::shared_ptr<message>& what) {
    static_cast<peer*>(lws_wsi_user(to))->queue.push_back(what);
    lws_callback_on_writable(to);
}

void received(lws* from, peer& one, const char* data, std::size_t size) {
    if (one.arriving.empty()) one.arriving.resize(LWS_PRE);
    one.arriving.append(data, size);
    if (lws_remaining_packet_payload(from) != 0 || !lws_is_final_fragment(from)) return;
    const auto whole = std::make_shared<message>();
    whole->bytes.swap(one.arriving);
    whole->binary = lws_frame_is_binary(from) != 0;
    if (broadcasts) {
        for (lws* each : everyone)
            queue(each, whole);
    } else {
        queue(from, whole);
    }
}

int on_event(lws* which, lws_callback_reasons why, void* user, void* data, std::size_t size) {
    switch (why) {
    case LWS_CALLBACK_ESTABLISHED:
        new (user) peer;
        if (broadcasts) everyone.insert(which);
        break;
    case LWS_CALLBACK_CLOSED:
        everyone.erase(which);
        static_cast<peer*>(user)->~peer();
        break;
    case LWS_CALLBACK_RECEIVE:
        received(which, *static_cast<peer*>(user), static_cast<const char*>(data), size);
        break;
    case LWS_CALLBACK_SERVER_WRITEABLE: {
        auto& waiting = static_cast<peer*>(user)->queue;
        while (!waiting.empty() && lws_send_pipe_choked(which) == 0) {
            message& first = *waiting.front();
            const auto length = first.bytes.size() - LWS_PRE;
            auto* const payload = reinterpret_cast<unsigned char*>(first.bytes.data()) + LWS_PRE;
            if (lws_write(which, payload, length, first.binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT) < 0)
                return -1;
            waiting.pop_front();
        }
        if (!waiting.empty()) lws_callback_on_writable(which);
        break;
    }
    default: break;
    }
    return 0;
}

} // namespace

int main(int count, char** arguments) {
    if (count < 2) return 2;
    broadcasts = count > 2 && std::string_view{arguments[2]} == "broadcast";
    lws_set_log_level(LLL_ERR, nullptr);

    lws_protocols protocols[2]{};
    protocols[0].name = "echo";
    protocols[0].callback = on_event;
    protocols[0].per_session_data_size = sizeof(peer);
    protocols[0].rx_buffer_size = 64 * 1024;
    lws_context_creation_info info{};
    info.port = std::atoi(arguments[1]);
    info.iface = "127.0.0.1";
    info.protocols = protocols;
    info.pt_serv_buf_size = 64 * 1024;
    info.options = LWS_SERVER_OPTION_DISABLE_IPV6;
#if defined(LWS_WITH_TLS)
    if (count > 4) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = arguments[3];
        info.ssl_private_key_filepath = arguments[4];
    }
#endif
    lws_context* const context = lws_create_context(&info);
    if (context == nullptr) return 1;
    while (lws_service(context, 0) >= 0) {
    }
    lws_context_destroy(context);
}
