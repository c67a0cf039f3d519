// The client of an iOS app: add this file to the app and to its Notification Service Extension. Both need the keychain
// group (Keychain Sharing), so that the extension finds the token while the app does not run. Swift 5.10, iOS 16.
import Foundation
import Security

struct SecureNotification: Decodable {
    struct Payload: Decodable { let text: String }  // whatever your back end sends
    let id: String
    let payload: Payload
}

enum FetchOutcome {
    case fetched(SecureNotification)
    case signInNeeded  // no token, or one that the service does not accept
    case gone  // expired, deleted, or another user's: the service does not say which
    case unavailable  // no network, or the service failed: try again when the app is opened
}

enum SecurePush {
    static let api = URL(string: "https://APP.azurewebsites.net/api/")!

    /// Fetches what a push announced. The service answers within 5 seconds, and an extension has 30.
    static func fetch(id: String) async -> FetchOutcome {
        guard let token = TokenStore.read() else { return .signInNeeded }
        guard let (data, status) = try? await call("GET", "notifications/\(id)", token: token) else { return .unavailable }
        switch status {
        case 200:
            guard let notification = try? JSONDecoder().decode(SecureNotification.self, from: data) else { return .unavailable }
            return .fetched(notification)
        case 401, 403: return .signInNeeded
        case 404: return .gone
        default: return .unavailable
        }
    }

    /// Call it at each start of the app and after sign-in, with the token of didRegisterForRemoteNotifications.
    static func register(installationId: String, deviceToken: Data) async throws {
        guard let token = TokenStore.read() else { return }
        let hexadecimal = deviceToken.map { String(format: "%02x", $0) }.joined()
        let body = try JSONEncoder().encode(["platform": "apns", "pushChannel": hexadecimal])
        let (_, status) = try await call("PUT", "installations/\(installationId)", token: token, body: body)
        guard (200...202).contains(status) else { throw URLError(.badServerResponse) }
    }

    static func markRead(id: String) async throws {
        guard let token = TokenStore.read() else { return }
        _ = try await call("PUT", "notifications/\(id)/read", token: token)
    }

    private static func call(_ method: String, _ path: String, token: String, body: Data? = nil) async throws -> (Data, Int) {
        var request = URLRequest(url: URL(string: path, relativeTo: api)!, timeoutInterval: 10)
        request.httpMethod = method
        request.httpBody = body
        request.setValue("Bearer \(token)", forHTTPHeaderField: "authorization")
        if body != nil { request.setValue("application/json", forHTTPHeaderField: "content-type") }
        let (data, response) = try await URLSession(configuration: .ephemeral).data(for: request)  // nothing on disk
        return (data, (response as? HTTPURLResponse)?.statusCode ?? 0)
    }
}

/// The access token in the shared keychain. The app writes it after each sign-in and each renewal.
enum TokenStore {
    private static let query: [CFString: Any] = [
        kSecClass: kSecClassGenericPassword,
        kSecAttrService: "secure-push",
        kSecAttrAccessGroup: "TEAMID.com.example.secure-push",
    ]

    static func write(_ token: String) {
        SecItemDelete(query as CFDictionary)
        var item = query
        item[kSecValueData] = Data(token.utf8)
        // Pushes arrive while the phone is locked; the token never leaves this phone.
        item[kSecAttrAccessible] = kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly
        SecItemAdd(item as CFDictionary, nil)
    }

    static func read() -> String? {
        var item = query
        item[kSecReturnData] = true
        var result: CFTypeRef?
        guard SecItemCopyMatching(item as CFDictionary, &result) == errSecSuccess, let data = result as? Data else { return nil }
        return String(data: data, encoding: .utf8)
    }
}
