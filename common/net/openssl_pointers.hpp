// Owners of OpenSSL's objects: unique_ptr<X, Freer<&X_free>>.
#pragma once

namespace everstep::net {

template <auto function>
struct Freer {
    template <class T>
    void operator()(T* pointer) const {
        function(pointer);
    }
};

}  // namespace everstep::net
